"""The cells of a command line, each with the run that it composes to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from selbench.config.composition import compose_config, to_run
from selbench.config.grids import expand, hydras_value, only_cell, single_cell
from selbench.config.held_selectors import in_hydras_words, without_presets
from selbench.config.launchers import Launcher, launcher_of, require_one_launch
from selbench.config.schemas import registered
from selbench.errors import UserError
from selbench.held import selector_fields
from selbench.placement import gpu_is_here
from selbench.plugins import Registry
from selbench.presets import presets
from selbench.settings import Run


@dataclass(frozen=True)
class Cell:
    """One cell of a grid: its settings as typed, and the run they compose to."""

    overrides: list[str]  # key=value, one value each
    run: Run
    launcher: Launcher = field(default_factory=Launcher)  # of its grid


def composed(overrides: Sequence[str], multirun: bool = False, config_dir: Path | None = None) -> list[Cell]:
    """The cells of a command line: one run, or with `multirun` the grid. No data or model is read.

    Raises UserError for settings that no run can be composed of, and for a grid without `multirun`.
    """
    registry = registered(overrides, config_dir)
    found = with_presets_folder(overrides, registry)
    if not multirun:
        cell = only_cell(found, registry)
        return [compose_cell(cell, registry)]
    expanded = expand(found, registry)
    require_one_launch(expanded)
    cells = _distinct(compose_cell(cell, registry) for cell in expanded)
    launcher = _launcher(cells, registry)
    # With a GPU here, bfloat16 is what a machine elsewhere would be given too.
    elsewhere = not launcher.stays_here and not gpu_is_here()
    return [Cell(cell.overrides, dataclasses.replace(cell.run, elsewhere=elsewhere), launcher) for cell in cells]


def compose_run(overrides: Sequence[str], registry: Registry) -> Run:
    """The run of one cell's overrides. Raises UserError for settings that no run can be composed of."""
    return compose_cell(overrides, registry).run


def compose_cell(overrides: Sequence[str], registry: Registry) -> Cell:
    """The cell of these overrides. Raises UserError for settings that no run can be composed of.

    A preset that is the value of an option (`selector.like=kcenter_tfidf`) is replaced by its plugin and options, because
    whoever carries out the cell may not know the folder of presets.
    """
    config = compose_config(overrides, registry)
    for key, value in _presets_in_options(config, registry).items():
        overrides = [*(text for text in overrides if text.partition("=")[0] != key), f"{key}={value}"]
        config = compose_config(overrides, registry)
    return Cell(list(overrides), to_run(config))


def _presets_in_options(config: DictConfig, registry: Registry) -> dict[str, str]:
    """`selector.OPTION` -> the value in Hydra's words, for each option whose value is, or holds, a preset of a selector."""
    cls = OmegaConf.get_type(config.selector)
    if not selector_fields(cls):
        return {}
    folder = [f"hydra.searchpath=[file://{registry.config_dir}]"] if registry.config_dir else []
    named = presets("selector", registry.config_dir)

    def preset(name: str) -> tuple[str, dict[str, Any]] | None:
        if name not in named:
            return None
        node = compose_config([*folder, f"selector={name}"], registry).selector
        plugin: Any = OmegaConf.get_type(node)
        filled: Any = OmegaConf.to_container(node)
        return plugin.plugin_name, filled

    options: Any = OmegaConf.to_container(config.selector)
    changed = without_presets(cls, options, registry, preset)
    return {f"selector.{option}": in_hydras_words(value) for option, value in changed.items()}


def _launcher(cells: Sequence[Cell], registry: Registry) -> Launcher:
    """The launcher of a grid; Hydra is asked only where the settings may name one.

    Raises UserError if cells differ in the options of its jobs or in their number, or as `launcher_of` does.
    """
    if len(cut := sorted({cell.run.feature_shards for cell in cells})) > 1:
        values = ", ".join(map(str, cut))
        raise UserError(f"feature_shards differs between cells ({values}): cells share features, so it is one number.")
    jobs = cells[0].run.resolved["jobs"]
    if any(cell.run.resolved["jobs"] != jobs for cell in cells):
        raise UserError(
            "jobs differs between cells: all cells of a grid have one launcher, with the same jobs.stages and jobs.cells."
        )
    keys = [text.partition("=")[0].lstrip("+~") for text in cells[0].overrides]
    if not any(key.startswith(("hydra/", "hydra.", "experiment")) for key in keys) and not any(jobs.values()):
        return Launcher()
    return launcher_of(cells[0].overrides, registry, jobs)


def _distinct(cells: Iterable[Cell]) -> list[Cell]:
    """The cells without those whose settings, as composed, are those of an earlier one: `budget=0.1,0.10` is one."""
    return list(
        {json.dumps(cell.run.resolved, sort_keys=True, default=str): cell for cell in reversed([*cells])}.values()
    )[::-1]


def composed_run(overrides: Sequence[str], config_dir: Path | None = None) -> Run:
    """One run. An experiment that is a grid gives the run without the grid's axes.

    Raises UserError for settings that no run can be composed of.
    """
    registry = registered(overrides, config_dir)
    found = with_presets_folder(overrides, registry)
    return compose_run(single_cell(found, registry, "one run is needed here"), registry)


def with_presets_folder(overrides: Sequence[str], registry: Registry) -> list[str]:
    """The overrides with the folder of presets as one of them, so that a cell that is run alone finds it too."""
    overrides = [
        f"{_hydras_key(key)}{sign}{hydras_value(key, value)}"
        for key, sign, value in (text.partition("=") for text in overrides)
    ]
    return [*overrides, *([f"hydra.searchpath=[file://{registry.config_dir}]"] if registry.config_dir else [])]


def _hydras_key(key: str) -> str:
    """A key in the words of Hydra: the options of a launcher's jobs are no settings that it knows, so they are added."""
    return f"++{key}" if key.startswith(("jobs.stages.", "jobs.cells.")) else key
