"""Lists presets, the named configurations of each group: selbench's own, those of packages, and those of a folder.

A package ships presets through an entry point of the group `selbench.presets`. Its value names a package with a folder
for each group, as in conf/: pool/mine.yaml, experiment/ours.yaml. Nothing is composed here.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.errors import UserError

if TYPE_CHECKING:
    from selbench.plugins import Registry

log = logging.getLogger("selbench.presets")

CONFIG_MODULE = "selbench.conf"
ENTRY_POINTS = "selbench.presets"
GROUPS = ("pool", "selector", "scorer", "model", "target", "trainer", "suite", "tracking", "experiment")


@cache
def packages() -> tuple[str, ...]:
    """The installed packages that ship presets. One that cannot be imported is reported in a warning and left out."""
    found = []
    for name in sorted({point.value for point in entry_points(group=ENTRY_POINTS)}):
        try:
            importlib.import_module(name)
        except Exception as error:  # a package may raise anything when it is imported
            log.warning("the presets of %s cannot be read: %s: %s", name, type(error).__name__, error)
        else:
            found.append(name)
    return tuple(found)


def presets(group: str, folder: Path | None = None) -> list[str]:
    """The names of the presets of one group, sorted; YAML files whose names start with "_" are private."""
    return sorted({name for source in _preset_sources(folder) for name in _names_in(source, group)})


def choices(group: str, registry: Registry) -> list[str]:
    """The names that may follow `group=`, of presets and plugins. Every model can be a scorer, every pool plugin a target."""
    kind = {"scorer": "model", "target": "pool"}.get(group, group)
    named = presets("model" if group == "scorer" else group, registry.config_dir)
    return sorted({*named, *(plugin.name for plugin in registry.of_kind(kind))})


def require_distinct(folder: Path | None) -> None:
    """Raises UserError if two sources have a preset of one name: the order of a search must not decide which is meant."""
    for group in GROUPS:
        seen: dict[str, Any] = {}
        for source in _preset_sources(folder):
            for name in _names_in(source, group):
                if name in seen:
                    raise UserError(
                        f"the preset {group}={name} is there twice: in {seen[name]} and in {source}; rename one."
                    )
                seen[name] = source


def _preset_sources(folder: Path | None) -> Sequence[Any]:
    return [*(files(name) for name in (CONFIG_MODULE, *packages())), *([folder] if folder else [])]


def _names_in(source: Any, group: str) -> list[str]:
    """The presets of one group in one source, a folder or the files of a package."""
    place = source.joinpath(*group.split("/"))
    names = [entry.name for entry in place.iterdir()] if place.is_dir() else []
    return [name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and not name.startswith("_")]
