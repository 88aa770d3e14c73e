"""Finds out at run time whether a piece of code reaches for hidden labels or test items, whichever way it takes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selbench.api import LoadedPool, Pool
from selbench.testing.watch import paths_opened

# Modules and packages that make or hold hidden labels or test items. The models beside the planted pool are no labels.
HOLDERS = ("selbench.planted", "selbench.run.inputs", "selbench_plugins.pools", "selbench_plugins.suites", "lm_eval")
ALLOWED = ("selbench.planted.models",)


class Labels(Mapping[str, Mapping[str, Any]]):
    """Hidden labels that note whoever looks at them."""

    def __init__(self, ids: tuple[str, ...], reached: list[str]) -> None:
        self._ids, self._reached = ids, reached

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        self._note()
        return {"label": id}

    def __iter__(self) -> Iterator[str]:
        self._note()
        return iter(self._ids)

    def __len__(self) -> int:
        self._note()
        return len(self._ids)

    def _note(self) -> None:
        if (what := "the hidden labels of the pool") not in self._reached:
            self._reached.append(what)


@contextmanager
def labels_watched(pool: Pool) -> Iterator[list[str]]:
    """Yields a list that holds, after the block, what code of ours it ran and which files it read to get at labels.

    Meanwhile the pool's labels are in memory, as they are in a run, and note whoever finds them.
    """
    reached: list[str] = []
    loaded = LoadedPool(pool, Labels(pool.ids, reached))
    homes = {name: _home(name) for name in HOLDERS}
    spared = [home for name in ALLOWED if (home := _home(name))]

    def place(path: str) -> str | None:
        """The module or package that a file belongs to, if it is one that is watched."""
        if any(path.startswith(home) for home in spared):
            return None
        return next((name for name, home in homes.items() if home and path.startswith(home)), None)

    def note(path: str, how: str) -> None:
        if (name := place(path)) and (what := how.format(name=name, file=Path(path).name)) not in reached:
            reached.append(what)

    def called(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            note(frame.f_code.co_filename, "{name} (it ran code of {file})")

    before = sys.getprofile()
    threading.setprofile(called)
    sys.setprofile(called)
    try:
        with paths_opened() as opened:
            yield reached
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    for path in opened:
        if not path.endswith((".py", ".pyc")):
            note(path, "{name} (it read {file})")
    del loaded


def _home(name: str) -> str:
    """The folder of a package, or the file of a module; empty where there is none. Imports nothing but its parents."""
    try:
        spec = find_spec(name)
    except ImportError:
        return ""
    if spec is None:
        return ""
    if spec.submodule_search_locations:
        return os.path.realpath(next(iter(spec.submodule_search_locations))) + os.sep
    return os.path.realpath(spec.origin or "")
