"""Grids of settings: which cells a command line or an experiment asks for, as Hydra's basic sweeper makes them."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from selbench.addresses import GROUPS, Address, Part, address, addressed
from selbench.config.composition import PRIMARY, compose_config, composing
from selbench.config.messages import explained
from selbench.config.parts import PartsOfCells
from selbench.errors import UserError
from selbench.plugins import Registry
from selbench.presets import choices


def expand(overrides: Sequence[str], registry: Registry) -> list[list[str]]:
    """The overrides of each cell of a grid, as Hydra's basic sweeper makes them.

    The experiment's own axes come first, then those of the command line; the last axis changes fastest. Raises
    UserError for an override that cannot be read, or an interval.
    """
    with composing(), explained(registry):
        settled = [text for text in overrides if not addressed(text) and not is_sweep(text)]
        config = compose(PRIMARY, overrides=[*settled, "hydra.mode=MULTIRUN"], return_hydra_config=True)
        own = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        # glob(...) needs the loader, which by now knows every folder of presets.
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        return cells_of(overrides, parser, registry, own)


def single_cell(overrides: Sequence[str], registry: Registry, advice: str) -> list[str]:
    """The overrides of one run. Raises UserError, which ends with the advice, for an option with several values."""
    if not any(map(addressed, overrides)):
        return list(overrides)
    for text in filter(addressed, overrides):
        with explained(registry):
            several = is_sweep(f"option={text.partition('=')[2]}")
        if several:
            raise UserError(
                f"{text} names several values: {advice}; a list is typed as {text.partition('=')[0]}=[a,b]."
            )
    plain = [text for text in overrides if not addressed(text)]
    with explained(registry):
        swept = [text for text in plain if is_sweep(text)]
    if swept:
        return plain  # whoever composes them says what is wrong
    with composing(), explained(registry):
        (cell,) = cells_of(overrides, OverridesParser.create(), registry)
    return cell


def only_cell(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The overrides of one run. Those of one cell of an experiment's grid are one run.

    Raises UserError, saying that -m is missing, if a setting has several values or the experiment is a grid.
    """
    with explained(registry):
        grids = [text for text in overrides if not addressed(text) and is_sweep(text)]
    if grids:
        raise UserError(f"{grids[0]} names several values: add -m to run the grid.")
    cell = single_cell(overrides, registry, "add -m to run the grid")
    if not compose_config(cell, registry, with_hydra=True).hydra.sweeper.get("params"):
        return cell
    cells = expand(overrides, registry)
    if len(cells) > 1:
        raise UserError("this experiment is a grid: add -m, as in `selbench -m experiment=...`.")
    return cells[0]


@dataclass(frozen=True)
class Axis:
    """One setting of a grid with its values, of which most settings have one."""

    key: str  # as typed
    address: Address | None  # the parts that it is for; None for a setting of whole cells
    values: list[str]
    typed: bool = True  # on the command line, as opposed to an axis of an experiment

    @property
    def rank(self) -> tuple[bool, bool]:
        """Of two that set one option of a part the higher is meant: the typed one, then the one that names the part."""
        return self.typed, bool(self.address and self.address.name)


def cells_of(
    overrides: Sequence[str], parser: OverridesParser, registry: Registry, experiment: Sequence[str] = ()
) -> list[list[str]]:
    """The distinct cells of the overrides, each with those options that are for its own parts.

    The axes of an experiment come first; a setting that is named again keeps its place and takes the later values.
    Raises UserError for an option that no part of any cell has, unless the experiment names it: a command line may leave
    out some of its selectors. For use within `composing()`.
    """
    names = {group: choices(group, registry) for group in GROUPS}
    axes: dict[Any, Axis] = {}
    typed = [_axis(text, parser, names) for text in overrides]
    own = [dataclasses.replace(_axis(text, parser, names), typed=False) for text in experiment]
    for axis in [*own, *typed]:
        axes[axis.address or axis.key] = axis
    found = list(axes.values())
    cells = [list(zip(found, values)) for values in itertools.product(*(axis.values for axis in found))]
    if not any(axis.address for axis in found):
        return _without_repeats([f"{axis.key}={value}" for axis, value in cell] for cell in cells)
    parts_of = PartsOfCells(registry, {axis.address.group for axis in found if axis.address and axis.address.name})
    parts = [parts_of([f"{axis.key}={value}" for axis, value in cell if not axis.address]) for cell in cells]
    grid = list({id(part): part for each in parts for part in each}.values())
    for axis in typed:
        if axis.address:
            axis.address.require_a_part(grid)
    return _without_repeats(_addressed_cell(cell, own, grid) for cell, own in zip(cells, parts))


def _addressed_cell(cell: Sequence[tuple[Axis, str]], parts: Sequence[Part], grid: Sequence[Part]) -> list[str]:
    """The overrides of one cell, with the options of its own parts."""
    settings: dict[str | int, tuple[tuple[bool, bool], str]] = {}
    for position, (axis, value) in enumerate(cell):
        if axis.address is None:
            settings[position] = axis.rank, f"{axis.key}={value}"
            continue
        for part in parts:
            key = part.setting(axis.address.option)
            if axis.address.is_for(part, grid) and (key not in settings or axis.rank >= settings[key][0]):
                settings[key] = axis.rank, f"{key}={value}"
    return [text for _, text in settings.values()]


def _without_repeats(cells: Iterable[list[str]]) -> list[list[str]]:
    return [list(cell) for cell in dict.fromkeys(map(tuple, cells))]


def _axis(text: str, parser: OverridesParser, names: Mapping[str, Sequence[str]]) -> Axis:
    """One setting with its values. Raises HydraException for one that cannot be read, or an interval."""
    key, _, typed = text.partition("=")
    found = address(key, names)
    # Hydra's grammar has no place for a name with a dash or a dot, so only the value is read by it.
    (override,) = parser.parse_overrides([f"{found.group}.{found.option}={typed}" if found else text])
    values = override.sweep_string_iterator() if override.is_sweep_override() else [override.get_value_element_as_str()]
    return Axis(key if found else override.get_key_element(), found, [hydras_value(key, value) for value in values])


def hydras_value(key: str, value: str) -> str:
    """A value in the words of Hydra: `budget=10%` is 0.1, and no scorer is [], as a choice must not be null."""
    if key == "scorer" and value == "null":
        return "[]"
    if key == "budget" and (share := re.fullmatch(r"['\"]?(\d+(?:\.\d+)?)\s*%['\"]?", value)):
        return repr(float(Decimal(share[1]) / 100))
    return value


def is_sweep(text: str) -> bool:
    (override,) = OverridesParser.create().parse_overrides([text])  # unlike parse_override, names it in an error
    return bool(override.is_sweep_override())
