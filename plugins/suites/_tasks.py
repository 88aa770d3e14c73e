"""Loads lm-eval tasks by name, from a folder of task files or from lm-eval's own collection.

A loaded task is kept as long as the process lives, because a sweep evaluates the same suite many times. A task whose
files have changed is loaded again.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench_plugins.suites._hub_data import UnreadData, commits_of_config, data_at_commits, data_commits
from selbench_plugins.suites._task_check import check_task, read_task
from selbench_plugins.suites._task_index import library_names, own_tasks
from selbench_plugins.suites._task_needs import missing_text

from selbench.data import files
from selbench.data.hub import cache_only_if_unreachable
from selbench.errors import UserError
from selbench.hashing import file_hash

LOCAL_FORMATS = ("json", "csv", "parquet")
DATA_ROOT = "${data_root}"
NO_TASKS = "no tasks: name at least one in `tasks`, or a folder of task files in `include_path`."
Stamps = tuple[tuple[str, int, int], ...]  # path, size and modification time of files

# (task file, data_root, changes) -> the task, and what it was made from: the stamps of the task files and of its data files,
# and the commit of its data set.
_built: dict[tuple[Path, str, Changes], tuple[tuple[Stamps, Stamps, list[str | None]], Any]] = {}


@dataclass(frozen=True)
class Changes:
    """What a suite changes in every task it loads; None keeps the task's own value."""

    num_fewshot: int | None = None  # worked examples in the prompt
    max_gen_toks: int | None = None  # the longest answer, in tokens

    def apply(self, task: Any) -> Any:
        """The task, changed in place."""
        # A task that sets zero worked examples has a prompt without room for any; lm-eval's command line keeps it too.
        if self.num_fewshot is not None and task.get_config("num_fewshot") != 0:
            task.set_config("num_fewshot", self.num_fewshot)
        if self.max_gen_toks is not None and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"max_gen_toks": self.max_gen_toks}, update=True)
        return task


def load_tasks(names: Sequence[str], folder: str | None, data_root: str, changes: Changes) -> dict[str, Any]:
    """The tasks in the form that lm-eval's `evaluate` takes: {"tasks": {name: task}, "groups": ..., "group_map": ...}.

    Without names, all tasks of the folder; a name that is in both stands for the task of the folder. Raises UserError
    for an unknown name, a missing file or an unreachable data set.
    """
    local = _local_task_files(folder) if folder else {}
    if not names and not local:
        raise UserError(NO_TASKS)
    own = {name: _own_task(name, *local[name], data_root, changes) for name in names or sorted(local) if name in local}
    others = tuple(name for name in names if name not in local)
    loaded = _library_tasks(others, tuple(sorted(local)), changes, str(data_commits(others, None))) if others else {}
    return {**loaded, "tasks": {**own, **loaded.get("tasks", {})}}


def check_names(names: Sequence[str], folder: str | None) -> None:
    """Raises UserError without a task, and for a name that neither the folder nor lm-eval's own collection has."""
    own = own_tasks(folder)
    if not names and not own:
        raise UserError(NO_TASKS)
    for name in names:
        if name not in own and name not in library_names():
            raise UserError(_unknown_task(name, sorted(library_names()), sorted(own)))


def check_own_tasks(names: Sequence[str], folder: str | None, data_root: str) -> None:
    """Raises UserError for mistakes of the tasks of a folder that show without lm-eval: missing data, items or columns."""
    if not folder:
        return
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"the folder of tasks {root} does not exist (set by include_path).")
    for path in sorted(root.rglob("*.yaml")):
        config = read_task(path) if not path.name.startswith("_") else {}
        name = config.get("task")
        if isinstance(name, str) and (not names or name in names):
            config = _with_data_root(config, name, data_root)
            check_task(config, name, path, _data_files(config, name, path))


def own_files(folder: str | None, data_root: str) -> dict[str, str]:
    """File name -> content hash, of a folder of task files and of the files under `data_root` that these name.

    lm-eval is not imported: a plan needs the key of a suite, and importing takes seconds.
    """
    root = Path(folder).expanduser() if folder else None
    if root is None or not root.is_dir():
        return {}  # `load_tasks` reports a missing folder
    hashes = {path.relative_to(root).as_posix(): file_hash(path) for path in sorted(root.rglob("*")) if path.is_file()}
    texts = [path.read_text() for path in sorted(root.rglob("*.yaml"))]
    named = sorted({name for text in texts for name in re.findall(r"\$\{data_root\}/([^\s\"',}\]]+)", text)})
    data = {name: Path(data_root).expanduser() / name for name in named}
    return hashes | {name: file_hash(path) for name, path in data.items() if path.is_file()}


def _file_stamps(paths: Iterable[Path]) -> Stamps:
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths))


def _local_task_files(folder: str) -> dict[str, tuple[Path, Stamps]]:
    """Task name -> its file and the stamps of all files of the folder. Files named "_..." are parts that tasks include."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"the folder of tasks {root} does not exist (set by include_path).")
    stamps = _file_stamps(root.rglob("*.yaml"))
    paths = sorted(path for path in root.rglob("*.yaml") if not path.name.startswith("_"))
    return {_task_config(str(path), stamps)["task"]: (path, stamps) for path in paths}


@lru_cache(maxsize=1024)
def _task_config(path: str, stamps: Stamps) -> Mapping[str, Any]:
    """The content of a task file and its includes. `stamps` is part of the cache's key: a changed file is read again."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config: Mapping[str, Any] = load_yaml(path)
    except Exception as error:  # invalid YAML, a missing include, a function that cannot be imported
        if missing := missing_text(error):
            raise UserError(f"the task file {path} needs {missing}") from error
        raise UserError(f"the task file {path} could not be read: {_first_line(error)}") from error
    if not isinstance(config.get("task"), str):
        raise UserError(f"the task file {path} names no task: give it a line `task: name`.")
    return config


def _own_task(name: str, path: Path, stamps: Stamps, data_root: str, changes: Changes) -> Any:
    """The task of a file: the one loaded before, unless a task file or a data file has changed since."""
    config = _with_data_root(_task_config(str(path), stamps), name, data_root)
    sources = _data_files(config, name, path)
    check_task(config, name, path, sources)
    state = stamps, _file_stamps(file for part in sources.values() for file in part), [*commits_of_config(config)]
    known = _built.get((path, data_root, changes))
    if known and known[0] == state:
        return known[1]
    try:
        with data_at_commits():
            task = changes.apply(_new_task(config, sources))
    except UserError as error:
        raise UserError(f"task '{name}' ({path}): {error}") from error
    except Exception as error:  # lm-eval and the functions that a task names may raise anything
        raise UserError(f"task '{name}' ({path}) {_why_not_made(error)}") from error
    _built[path, data_root, changes] = state, task
    return task


def _new_task(config: dict[str, Any], sources: Mapping[str, list[Path]]) -> Any:
    """The task of a configuration; `sources` are the local files of each split."""
    from lm_eval.api.task import ConfigurableTask

    if sources:
        # Our own reader takes the files: `datasets` would first convert every file and keep a copy in its cache.
        config = {**config, "custom_dataset": _dataset_reader(sources), "dataset_kwargs": None}
    return ConfigurableTask(config={key: config[key] for key in config if key not in ("tag", "group", "task_list")})


def _with_data_root(value: Any, name: str, data_root: str) -> Any:
    """`value` with `${data_root}` replaced in every string of it, at any depth."""
    if isinstance(value, str) and DATA_ROOT in value:
        if not data_root:
            raise UserError(f"task '{name}' reads from {DATA_ROOT}, which is not set: set the suite's data_root.")
        return value.replace(DATA_ROOT, data_root)
    if isinstance(value, dict):
        return {key: _with_data_root(item, name, data_root) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_data_root(item, name, data_root) for item in value]
    return value


def _data_files(config: dict[str, Any], name: str, path: Path) -> dict[str, list[Path]]:
    """Split -> its local files; relative names are relative to the task file `path`. Empty for a data set of the hub.

    Raises UserError for a missing file.
    """
    options = config.get("dataset_kwargs") or {}
    named = options.get("data_files")
    if not named or config.get("dataset_path") not in LOCAL_FORMATS:
        return {}
    splits = named if isinstance(named, dict) else {"train": named}
    sources = {
        split: [path.parent / Path(file).expanduser() for file in ([given] if isinstance(given, str) else given)]
        for split, given in splits.items()
    }
    for file in (file for part in sources.values() for file in part):
        if not file.is_file():
            raise UserError(f"task '{name}': the file {file} does not exist (data_files in {path}).")
    return sources


def _dataset_reader(sources: Mapping[str, list[Path]]) -> Callable[..., Any]:
    """A function that returns the data set of these files, as lm-eval's `custom_dataset` wants one."""

    def read(**_: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict(
            {
                split: Dataset.from_list([row for path in paths for _, row in files.read_rows(path)])
                for split, paths in sources.items()
            }
        )

    return read


@lru_cache(maxsize=16)
def _library_tasks(names: tuple[str, ...], local: tuple[str, ...], changes: Changes, commits: str) -> dict[str, Any]:
    """Tasks and groups of lm-eval's own collection; `commits` of their data are part of the cache's key."""
    manager = _task_manager()
    for name in names:
        if name not in manager.task_index:
            raise UserError(_unknown_task(name, manager.all_tasks, local))
    # Without this, the hub's libraries would retry every request for half a minute.
    with cache_only_if_unreachable() as online:
        try:
            with data_at_commits():
                loaded = manager.load(list(names))
        except UserError as error:
            raise UserError(f"lm-eval task {' + '.join(names)}: {error}") from error
        except UnreadData as error:
            reason = _first_line(error.__cause__ or error) if online else "the hub is not reachable"
            raise UserError(
                f"lm-eval task {' + '.join(names)}: its data set '{error}' could not be loaded from the Hugging Face hub or "
                f"its local cache ({reason}); for a local copy write a task file and name its folder in include_path."
            ) from error
        except Exception as error:  # the functions that a task names may raise anything
            raise UserError(f"lm-eval task {' + '.join(names)} {_why_not_made(error)}") from error
    for task in loaded["tasks"].values():
        changes.apply(task)
    return dict(loaded)


def _why_not_made(error: Exception) -> str:
    """Why a task could not be made, as the end of a sentence that begins with it."""
    if isinstance(error, UnreadData):
        return f"cannot be made: its data set '{error}' could not be loaded: {_first_line(error.__cause__ or error)}"
    missing = missing_text(error)
    return f"needs {missing}" if missing else f"cannot be made: {type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@lru_cache(maxsize=1)
def _task_manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _unknown_task(name: str, known: Sequence[str], local: Sequence[str]) -> str:
    """The message for an unknown task. Unlike `errors.unknown` it lists near matches only: there are thousands of names."""
    near = difflib.get_close_matches(name, [*local, *known], n=5) or [task for task in known if name in task][:5]
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return f"unknown lm-eval task '{name}'.{hint} All names: python -m lm_eval ls tasks" + (
        f"; in include_path: {', '.join(local)}." if local else "."
    )
