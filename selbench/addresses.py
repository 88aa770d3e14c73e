"""Which options of which parts a setting such as `selector.kcenter.encoder=...` is for. Only names are handled here.

A grid has several selectors, trainers, suites, ..., and an option is for some of them:

- `selector.kcenter.encoder=X` is for kcenter alone: the name is that of a choice of the grid (a plugin or a preset), of a
  suite or target of a cell, or of the plugin under presets of other names;
- `selector.encoder=X` is for every selector of the grid that has the option;
- an option that no part of the grid has is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selbench.errors import UserError, unknown

SINGLE = ("pool", "selector", "scorer", "model", "trainer")  # a cell has one of each
NAMED = ("target", "suite")  # a cell has several, each under its name
GROUPS = (*SINGLE, *NAMED)


@dataclass(frozen=True)
class Part:
    """One part of a cell that has options of its own: its selector, its pool, one of its suites, ..."""

    group: str
    plugin: str  # the plugin's name; empty for models
    options: Mapping[str, bool]  # the names of the options: whether each is a table that takes further names
    choice: str = ""  # the preset or plugin that was chosen; empty where it is not known
    key: str = ""  # the name of a suite or target within its cell

    @property
    def place(self) -> str:
        """Where its options stand in the configuration."""
        return f"{self.group}.{self.key}" if self.key else self.group

    @property
    def names(self) -> set[str]:
        """What it is called."""
        return {self.choice, self.key} - {""}

    def setting(self, option: str) -> str:
        """The key that sets an option; a new entry of a table is added, another option changed."""
        root, _, entry = option.partition(".")
        return f"{'++' if entry and self.options.get(root) else ''}{self.place}.{option}"


@dataclass(frozen=True)
class Address:
    """The parts and the option that a setting names."""

    typed: str  # the key as typed, without signs
    group: str
    name: str  # of the parts that are meant; empty if all are that have the option
    option: str  # `limit`, or `sets.mine` for an entry of a table

    def refers_to(self, part: Part, grid: Collection[Part]) -> bool:
        """Whether a part is meant, its options apart. A plugin's name also stands for its presets if no choice has it."""
        if part.group != self.group:
            return False
        choices = {other.choice for other in grid if other.group == self.group}
        if not self.name:
            return True
        if self.name in choices:
            return part.choice == self.name
        if any(self.name in other.names for other in grid if other.group == self.group):
            return self.name in part.names
        return part.plugin == self.name

    def is_for(self, part: Part, grid: Collection[Part]) -> bool:
        """Whether a part is meant and has the option."""
        return self.refers_to(part, grid) and self.option.partition(".")[0] in part.options

    def require_a_part(self, grid: Collection[Part]) -> None:
        """Raises UserError with the valid choices if no part of the grid has the option."""
        if any(self.is_for(part, grid) for part in grid):
            return
        parts = [part for part in grid if part.group == self.group]
        meant = [part for part in parts if self.refers_to(part, grid)]
        if self.group == "scorer" and not parts:
            raise UserError(
                f"{self.typed}: the scorer is the model itself; name another first, as in scorer=local scorer.path=/folder."
            )
        if not parts:
            raise UserError(f"{self.typed}: there is no {self.group}; name one, as in {self.group}=NAME.")
        if not meant:
            there = sorted({min(part.names) for part in parts if part.names})
            raise UserError(f"{self.typed}: no {self.group} here is called '{self.name}'; there is {', '.join(there)}.")
        prefix = f"{self.group}.{self.name}" if self.name else self.group
        places = {part.place for part in meant}
        if not self.name and self.group in NAMED and len(places) == 1:
            prefix = places.pop()
        owners = sorted({part.plugin for part in meant if part.plugin})
        kind = "pool" if self.group == "target" else self.group
        who = f"option of {kind}{'s' if len(owners) > 1 else ''} {_listed(owners)}:" if owners else "setting:"
        raise UserError(
            unknown(who, f"{prefix}.{self.option}", {f"{prefix}.{name}" for part in meant for name in part.options})
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def address(key: str, names: Mapping[str, Iterable[str]]) -> Address | None:
    """What a setting's key names; None if it is not an option of a part, or takes something away (`~`).

    Args:
        key: as typed: `selector.encoder`, `+suite.response_loss.sets.mine`.
        names: for each group the names that its choices may have, and those of the suites and targets of the grid.
    """
    found = re.fullmatch(rf"(\+{{0,2}})({'|'.join(GROUPS)})\.(.+)", key)
    if not found:
        return None
    group, rest = found[2], found[3]
    # The longest name is meant, because names may have dots: model.llama-3.2-1b.path.
    named = max((name for name in names.get(group, ()) if rest.startswith(f"{name}.")), key=len, default="")
    return Address(key.lstrip("+"), group, named, rest[len(named) + 1 :] if named else rest)


def addressed(text: str) -> bool:
    """Whether a setting is for some of the parts of a grid, as opposed to a whole cell."""
    return address(text.partition("=")[0], {}) is not None


def flat_options(options: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """(`a.b`, value) of every value in nested options: each with its whole key, as `ray.remote.num_gpus`."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from flat_options(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
