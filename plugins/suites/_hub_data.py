"""The data sets of the hub that lm-eval tasks read: found in their files without lm-eval, and loaded at their commits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench_plugins.suites._task_index import library_tasks, own_tasks

from selbench.data.commits import commit_of, load_dataset_at_commit
from selbench.errors import UserError

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
DataSet = tuple[str, str | None]  # name and revision


class UnreadData(Exception):
    """A data set of the hub could not be loaded; its cause is what `datasets` raised, its text the name of the data set."""


def data_commits(names: Sequence[str], folder: str | None) -> list[list[str | None]]:
    """Name and commit of each data set of the hub that these tasks read, sorted; a commit is None where it is unknown.

    Args:
        names: the names of tasks, groups and tags; none for all tasks of the folder.
        folder: the folder of task files; a name that is in it is not looked for among lm-eval's own.
    """
    found = {*own_data(names, folder), *library_data(tuple(set(names) - set(own_tasks(folder))))}
    return sorted(([name, commit_of("dataset", name, revision)] for name, revision in found), key=str)


def own_data(names: Sequence[str], folder: str | None) -> set[DataSet]:
    """The data sets of the hub that tasks of a folder read; without names, of all its tasks."""
    own = own_tasks(folder)
    return set(filter(None, (data_of(config) for name, config in own.items() if not names or name in names)))


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
    """Inside, `datasets.load_dataset` reads data sets of the hub at the commits that are in keys, whoever calls it.

    There it raises UnreadData for one that cannot be loaded: so its trouble is not confused with that of a task's code.
    """
    import datasets

    load: Callable[..., Any] = datasets.load_dataset

    def load_at_commit(path: str, *parts: Any, revision: str | None = None, **options: Any) -> Any:
        if is_hub_name(path):
            try:
                return load_dataset_at_commit(load, path, *parts, revision=revision, **options)
            except UserError:
                raise
            except Exception as error:  # the hub or the data set's own code may raise anything
                raise UnreadData(path) from error
        return load(path, *parts, **options, **({"revision": revision} if revision else {}))

    datasets.load_dataset = load_at_commit
    try:
        yield
    finally:
        datasets.load_dataset = load


@lru_cache(maxsize=64)
def library_data(names: tuple[str, ...]) -> frozenset[DataSet]:
    """The data sets of the hub that tasks, groups and tags of lm-eval's own collection read.

    Of a task whose data is loaded by code of its own nothing is known.
    """
    return frozenset(filter(None, map(data_of, library_tasks(names))))


def commits_of_config(config: Mapping[str, Any]) -> Iterable[str | None]:
    """The commit of a task's data set, if it is one of the hub: two values of it are two tasks."""
    data = data_of(config)
    return [commit_of("dataset", *data)] if data else []
