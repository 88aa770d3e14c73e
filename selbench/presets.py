"""The named configurations there are, by group, without composing anything: ours, those of packages, those of a folder.

A package ships presets by an entry point of the group `selbench.presets` whose value is a package that holds groups
as ours does: pool/mine.yaml, experiment/ours.yaml.
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
    """The packages of others that ship presets; one that cannot be imported is warned of and left out."""
    found = []
    for name in sorted({point.value for point in entry_points(group=ENTRY_POINTS)}):
        try:
            importlib.import_module(name)
        except Exception as error:  # a stranger's module may raise anything
            log.warning("the presets of %s cannot be read: %s: %s", name, type(error).__name__, error)
        else:
            found.append(name)
    return tuple(found)


def presets(group: str, folder: Path | None = None) -> list[str]:
    """The names of the YAML files of one group, sorted; those that start with "_" are private."""
    return sorted({name for source in _sources(folder) for name in _names(source, group)})


def choices(group: str, registry: Registry) -> list[str]:
    """What may follow `group=`: presets and plugins. Every model can be a scorer, and every pool's plugin a target."""
    kind = {"scorer": "model", "target": "pool"}.get(group, group)
    named = presets("model" if group == "scorer" else group, registry.config_dir)
    return sorted({*named, *(plugin.name for plugin in registry.of_kind(kind))})


def require_distinct(folder: Path | None) -> None:
    """Raises UserError if two sources have a preset of one name: which one is meant must not depend on luck."""
    for group in GROUPS:
        seen: dict[str, Any] = {}
        for source in _sources(folder):
            for name in _names(source, group):
                if name in seen:
                    raise UserError(
                        f"the preset {group}={name} is there twice: in {seen[name]} and in {source}; rename one."
                    )
                seen[name] = source


def _sources(folder: Path | None) -> Sequence[Any]:
    return [*(files(name) for name in (CONFIG_MODULE, *packages())), *([folder] if folder else [])]


def _names(source: Any, group: str) -> list[str]:
    place = source.joinpath(*group.split("/"))
    names = [entry.name for entry in place.iterdir()] if place.is_dir() else []
    return [name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and not name.startswith("_")]
