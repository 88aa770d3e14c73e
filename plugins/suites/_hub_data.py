"""The data sets of the hub that lm-eval tasks read: found in their files without lm-eval, and loaded at their commits."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from selbench_plugins.suites._task_check import read_task

from selbench.data.commits import commit_of, load_dataset_at_commit

# What `datasets` reads files of such a form with: no names of data sets.
FORMS = {
    "arrow",
    "cache",
    "csv",
    "generator",
    "hdf5",
    "json",
    "lance",
    "pandas",
    "parquet",
    "spark",
    "sql",
    "text",
    "xml",
}
FORMS |= {"audiofolder", "imagefolder", "pdffolder", "videofolder", "webdataset"}
# A line `task: name`, `group: name`, `include: file` or `tag:` of a task file, with the items of a list under it.
LINE = re.compile(r"""^["']?(task|group|tag|include|class)["']?:[ \t]*(.*(?:\n[ \t]*-[^\n]*)*)""", re.MULTILINE)

DataSet = tuple[str, str | None]  # name and revision


def data_commits(names: Sequence[str], folder: str | None) -> list[list[str | None]]:
    """Name and commit of each data set of the hub that these tasks read, sorted; a commit is None where it is unknown.

    Args:
        names: the names of tasks, groups and tags; none for all tasks of the folder.
        folder: the folder of task files; a name that is in it is not looked for among lm-eval's own.
    """
    found = {*own_data(names, folder), *library_data(tuple(set(names) - own_names(folder)))}
    return sorted(([name, commit_of("dataset", name, revision)] for name, revision in found), key=str)


def own_names(folder: str | None) -> set[str]:
    """The names of the tasks of a folder."""
    return set(_own_tasks(folder))


def own_data(names: Sequence[str], folder: str | None) -> set[DataSet]:
    """The data sets of the hub that tasks of a folder read; without names, of all its tasks."""
    own = _own_tasks(folder)
    return set(filter(None, (data_of(config) for name, config in own.items() if not names or name in names)))


def _own_tasks(folder: str | None) -> Mapping[str, Mapping[str, Any]]:
    """Name -> configuration of the tasks of a folder; files named "_..." are parts that tasks include."""
    paths = sorted(path for path in Path(folder).expanduser().rglob("*") if path.is_file()) if folder else []
    return _read_tasks(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@lru_cache(maxsize=64)
def _read_tasks(stamps: tuple[tuple[str, int, int], ...]) -> Mapping[str, Mapping[str, Any]]:
    """The size and time of the files are part of the cache's key: a changed file is read again."""
    paths = [Path(path) for path, _, _ in stamps if path.endswith(".yaml")]
    configs = [read_task(path) for path in paths if not path.name.startswith("_")]
    return {config["task"]: config for config in configs if isinstance(config.get("task"), str)}


def data_of(config: Mapping[str, Any]) -> DataSet | None:
    """Name and revision of the data set of the hub that a task reads; None if it reads none."""
    name = config.get("dataset_path")
    revision = (config.get("dataset_kwargs") or {}).get("revision")
    return (str(name), revision) if is_hub_name(name) else None


def is_hub_name(name: Any) -> bool:
    """Whether `datasets` would look for a data set of this name on the hub, and not for a folder or a form of files."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name):
        return False
    return name not in FORMS and not Path(name).is_dir()


@contextmanager
def data_at_commits() -> Iterator[None]:
    """Inside, `datasets.load_dataset` reads data sets of the hub at the commits that are in keys, whoever calls it."""
    import datasets

    load: Callable[..., Any] = datasets.load_dataset

    def load_at_commit(path: str, *parts: Any, revision: str | None = None, **options: Any) -> Any:
        if is_hub_name(path):
            return load_dataset_at_commit(load, path, *parts, revision=revision, **options)
        return load(path, *parts, **options, **({"revision": revision} if revision else {}))

    datasets.load_dataset = load_at_commit
    try:
        yield
    finally:
        datasets.load_dataset = load


# --------------------------------------------------------------------------------- lm-eval's own collection


@dataclass
class _Index:
    """Where lm-eval keeps its tasks."""

    files: dict[str, Path] = field(default_factory=dict)  # name of a task or group -> its file
    groups: set[str] = field(default_factory=set)
    tags: dict[str, list[str]] = field(default_factory=dict)  # tag -> names of tasks


@lru_cache(maxsize=64)
def library_data(names: tuple[str, ...]) -> frozenset[DataSet]:
    """The data sets of the hub that tasks, groups and tags of lm-eval's own collection read.

    Of a task whose data is loaded by code of its own nothing is known.
    """
    if not names:
        return frozenset()
    return frozenset(filter(None, (data_of(config) for name in names for config in _configs(name, _index(), {}, ()))))


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
    config = read_task(index.files[name])
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


def commits_of_config(config: Mapping[str, Any]) -> Iterable[str | None]:
    """The commit of a task's data set, if it is one of the hub: two values of it are two tasks."""
    data = data_of(config)
    return [commit_of("dataset", *data)] if data else []
