"""lm-eval tasks by name: from a folder of our own YAML files, or from lm-eval's thousands.

Tasks are kept for the life of the process, because a sweep evaluates the same suite many times, and are loaded
again when a file of theirs has changed.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench.data import files
from selbench.data.hub import cache_only_if_unreachable
from selbench.errors import UserError

LOCAL_FORMATS = ("json", "csv", "parquet")
DATA_ROOT = "${data_root}"
Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class Changes:
    """What a suite changes in every task it loads. None: as the task says."""

    num_fewshot: int | None = None
    max_gen_toks: int | None = None

    def apply(self, task: Any) -> Any:
        # A task that fixes zero shots does so because its prompt leaves no room for any; lm-eval respects that too.
        if self.num_fewshot is not None and task.get_config("num_fewshot") != 0:
            task.set_config("num_fewshot", self.num_fewshot)
        if self.max_gen_toks is not None and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"max_gen_toks": self.max_gen_toks}, update=True)
        return task


def load_tasks(names: Sequence[str], folder: str | None, data_root: str, changes: Changes) -> dict[str, Any]:
    """What lm-eval's `evaluate` takes: {"tasks": {name: task}, "groups": ..., "group_map": ...}.

    No names: all tasks of the folder. Raises UserError for an unknown name, a missing file or an unreachable
    data set.
    """
    local = _local(folder)
    if not names and not local:
        raise UserError("no tasks: name at least one in `tasks`, or a folder of task files in `include_path`.")
    own = {
        name: _own_task(name, local[name], _stamps(local.values()), data_root, changes)
        for name in names or sorted(local)
        if name in local
    }
    others = tuple(name for name in names if name not in local)
    loaded = _library_tasks(others, tuple(sorted(local)), changes) if others else {}
    return {**loaded, "tasks": {**own, **loaded.get("tasks", {})}}


def _stamps(paths: Any) -> tuple[Stamp, ...]:
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths))


def _local(folder: str | None) -> dict[str, Path]:
    """Task name -> file, for the YAML files of a folder; those that start with "_" are shared parts."""
    if not folder:
        return {}
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"the folder of tasks {root} does not exist (set by include_path).")
    paths = sorted(path for path in root.rglob("*.yaml") if not path.name.startswith("_"))
    return {str(_yaml(str(path), _stamps(root.rglob("*.yaml")))["task"]): path for path in paths}


@lru_cache(maxsize=1024)
def _yaml(path: str, stamps: tuple[Stamp, ...]) -> Mapping[str, Any]:
    """A task file with its includes; `stamps` are there so that a changed file is read again."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config = load_yaml(path)
    except Exception as error:  # YAML, a missing include, a function that cannot be imported
        raise UserError(f"the task file {path} could not be read: {str(error).splitlines()[0]}") from error
    if not isinstance(config.get("task"), str):
        raise UserError(f"the task file {path} names no task: give it a line `task: name`.")
    return config


def _own_task(name: str, path: Path, stamps: tuple[Stamp, ...], data_root: str, changes: Changes) -> Any:
    config = _fill(copy.deepcopy(dict(_yaml(str(path), _stamps(path.parent.rglob("*.yaml"))))), name, data_root)
    sources = _sources(config, name, path)
    return _build(name, str(path), data_root, changes, stamps, _stamps({file for part in sources.values() for file in part}))


@lru_cache(maxsize=1024)
def _build(
    name: str, path: str, data_root: str, changes: Changes, stamps: tuple[Stamp, ...], data: tuple[Stamp, ...]
) -> Any:
    from lm_eval.api.task import ConfigurableTask

    config = _fill(copy.deepcopy(dict(_yaml(path, _stamps(Path(path).parent.rglob("*.yaml"))))), name, data_root)
    sources = _sources(config, name, Path(path))
    if sources and config.get("dataset_path") in LOCAL_FORMATS:
        # Read here and not by `datasets`, which would convert every file into its cache first: 30 times slower.
        config = {**config, "custom_dataset": _reader(sources)}
        config.pop("dataset_kwargs", None)
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    return changes.apply(ConfigurableTask(config=config))


def _fill(value: Any, name: str, data_root: str) -> Any:
    """`${data_root}` replaced in every string."""
    if isinstance(value, str) and DATA_ROOT in value:
        if not data_root:
            raise UserError(f"task '{name}' reads from {DATA_ROOT}, which is not set: set the suite's data_root.")
        return value.replace(DATA_ROOT, data_root)
    if isinstance(value, dict):
        return {key: _fill(item, name, data_root) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, name, data_root) for item in value]
    return value


def _sources(config: dict[str, Any], name: str, path: Path) -> dict[str, list[Path]]:
    """Split -> files, made absolute in `config` as well. Raises UserError for a file that is not there."""
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


def _reader(sources: Mapping[str, list[Path]]) -> Callable[..., Any]:
    def read(**_: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict(
            {split: Dataset.from_list([row for path in paths for _, row in files.read(path)]) for split, paths in sources.items()}
        )

    return read


@lru_cache(maxsize=16)
def _library_tasks(names: tuple[str, ...], local: tuple[str, ...], changes: Changes) -> dict[str, Any]:
    """Tasks and groups of lm-eval's own collection."""
    manager = _library()
    for name in names:
        if name not in manager.task_index:
            raise UserError(_unknown_task(name, manager.all_tasks, local))
    with cache_only_if_unreachable() as online:
        try:
            loaded = manager.load(list(names))
        except Exception as error:  # the hub, the data set's own code, two tasks in one another
            reason = (str(error).splitlines() or [type(error).__name__])[0] if online else "the hub is not reachable"
            raise UserError(
                f"lm-eval task {' + '.join(names)}: its data set could not be loaded from the Hugging Face hub or its "
                f"local cache ({reason}); for a local copy write a task file and name its folder in include_path."
            ) from error
    for task in loaded["tasks"].values():
        changes.apply(task)
    return dict(loaded)


@lru_cache(maxsize=1)
def _library() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _unknown_task(name: str, known: Sequence[str], local: Sequence[str]) -> str:
    """Like `errors.unknown`, but with near matches only: there are thousands of names."""
    near = difflib.get_close_matches(name, [*local, *known], n=5) or [task for task in known if name in task][:5]
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    return f"unknown lm-eval task '{name}'.{hint} All names: python -m lm_eval ls tasks" + (
        f"; in include_path: {', '.join(local)}." if local else "."
    )


