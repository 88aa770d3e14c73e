"""The tasks that a suite may name: those of a folder, and lm-eval's own with their groups and tags.

Found in the files without importing lm-eval, which takes seconds.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from selbench_plugins.suites._task_check import read_task

# A line `task: name`, `group: name`, `include: file` or `tag:` of a task file, with the items of a list under it.
LINE = re.compile(r"""^["']?(task|group|tag|include|class)["']?:[ \t]*(.*(?:\n[ \t]*-[^\n]*)*)""", re.MULTILINE)

# The key under which a configuration holds the file that it was read from, as in lm-eval's own metadata.
SOURCE = "config_source"


def own_tasks(folder: str | None) -> Mapping[str, Mapping[str, Any]]:
    """Name -> configuration of the tasks of a folder; files named "_..." are parts that tasks include."""
    paths = sorted(path for path in Path(folder).expanduser().rglob("*") if path.is_file()) if folder else []
    return _read_tasks(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=64)
def _read_tasks(stamps: tuple[tuple[str, int, int], ...]) -> Mapping[str, Mapping[str, Any]]:
    """The size and time of the files are part of the cache's key: a changed file is read again."""
    paths = [Path(path) for path, _, _ in stamps if path.endswith(".yaml")]
    configs = [{**read_task(path), SOURCE: str(path)} for path in paths if not path.name.startswith("_")]
    return {config["task"]: config for config in configs if isinstance(config.get("task"), str)}


@lru_cache(maxsize=64)
def library_tasks(names: tuple[str, ...]) -> tuple[Mapping[str, Any], ...]:
    """The configurations of tasks of lm-eval's own collection, and of the members of its groups and tags."""
    return tuple(config for name in names for config in _configs(name, _index(), {}, ()))


def library_names() -> set[str]:
    """The names of all tasks, groups and tags of lm-eval's own collection."""
    return {*_index().files, *_index().tags}


@dataclass
class _Index:
    """Where lm-eval keeps its tasks."""

    files: dict[str, Path] = field(default_factory=dict)  # name of a task or group -> its file
    groups: set[str] = field(default_factory=set)
    tags: dict[str, list[str]] = field(default_factory=dict)  # tag -> names of tasks


def _configs(
    name: str, index: _Index, changes: Mapping[str, Any], within: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    """The configurations of a task, or of the tasks of a group or tag, with what the groups around them change."""
    if name in within:
        return
    if name not in index.files:
        for task in index.tags.get(name, ()):
            yield from _configs(task, index, changes, (*within, name))
        return
    config = {**read_task(index.files[name]), SOURCE: str(index.files[name])}
    if name not in index.groups:
        yield {**config, **changes}
        return
    own = {key: value for key, value in config.items() if key.startswith("dataset_")}
    yield from _members(config.get("task"), index, {**own, **changes}, (*within, name))


def _members(
    members: Any, index: _Index, changes: Mapping[str, Any], within: tuple[str, ...]
) -> Iterator[Mapping[str, Any]]:
    for member in members if isinstance(members, list) else []:
        about = {"task": member} if isinstance(member, str) else dict(member)
        name = about.get("group") or about.get("task")
        own = {**changes, **{key: value for key, value in about.items() if key.startswith("dataset_")}}
        if isinstance(name, str) and (name in index.files or name in index.tags):
            yield from _configs(name, index, own, within)
        elif "group" in about:
            yield from _members(about.get("task"), index, own, within)
        else:
            yield {**about, **own}


@lru_cache(maxsize=1)
def _index() -> _Index:
    """Made from the lines that name tasks, groups, tags and included files: reading 14,000 files as YAML takes a minute."""
    spec = importlib.util.find_spec("lm_eval")
    roots = [os.path.join(place, "tasks") for place in (spec and spec.submodule_search_locations) or ()]
    index, tags = _Index(), {}
    for path in (path for root in roots for path in _yaml_files(root)):
        lines = _lines(path)
        group = "group" in lines and "class" not in lines
        name = "".join(lines.get("group" if group else "task", ())[:1])
        if not name or name in index.files:
            continue
        index.files[name] = Path(path)
        if group:
            index.groups.add(name)
        else:
            tags[name] = lines.get("tag", [])
    for name, own in tags.items():
        for tag in own:
            index.tags.setdefault(tag, []).append(name)
    return index


def _yaml_files(root: str) -> list[str]:
    return sorted(
        os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names if name.endswith(".yaml")
    )


@cache
def _lines(path: str) -> dict[str, list[str]]:
    """`task`, `group`, `tag`, `class` -> the words that stand there in a task file, or else in a file that it includes."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return {}
    own = {found[1]: _words(found[2]) for found in LINE.finditer(text)}
    included: dict[str, list[str]] = {}
    for name in own.pop("include", ()):
        included |= _lines(os.path.normpath(os.path.join(os.path.dirname(path), name)))
    return {**included, **own}


def _words(text: str) -> list[str]:
    """The words of a scalar or of a list in YAML, without quotes and comments."""
    plain = re.sub(r"(^|\s)#.*", "", text) if "#" in text else text
    return [word for word in re.split(r"[\s,\[\]'\"]+", plain) if word not in ("", "-")]
