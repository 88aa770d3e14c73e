"""The configurations that ship, by group, without composing anything."""

from __future__ import annotations

from importlib.resources import files

CONFIG_MODULE = "selbench.conf"


def presets(group: str) -> list[str]:
    """The names of the YAML files in one group of conf/, sorted; those that start with "_" are private."""
    folder = files(CONFIG_MODULE).joinpath(*group.split("/"))
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and not name.startswith("_"))
