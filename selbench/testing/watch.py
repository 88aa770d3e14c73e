"""Finds out which files a piece of code opens, through Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_watching: list[list[str]] = []
_reading: list[list[str]] = []
_installed = False
# Parts of paths that may be written anywhere: caches of the interpreter and of libraries, and devices.
_CACHES = ("__pycache__", os.sep + ".cache" + os.sep, "numba", "/dev/", "/proc/")


@contextmanager
def written_outside(folder: Path) -> Iterator[list[str]]:
    """Yields a list which, after the block, holds the paths opened for writing inside it that lie outside `folder`."""
    _install_hook()
    opened: list[str] = []
    inside = str(folder.resolve()) + os.sep
    written: list[str] = []
    _watching.append(opened)
    try:
        yield written
    finally:
        _watching.remove(opened)
        paths = (os.path.realpath(path) for path in opened)
        written += [
            path for path in paths if not path.startswith(inside) and not any(cache in path for cache in _CACHES)
        ]


@contextmanager
def paths_opened() -> Iterator[list[str]]:
    """Yields a list which, after the block, holds the real paths of all files opened inside it."""
    _install_hook()
    opened: list[str] = []
    _reading.append(opened)
    try:
        yield opened
    finally:
        _reading.remove(opened)
        opened[:] = [os.path.realpath(path) for path in opened]


def _install_hook() -> None:
    global _installed
    if not _installed:  # an audit hook cannot be removed, so one serves all blocks
        sys.addaudithook(_note_open)
        _installed = True


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: notes the path of a file, and apart from it of one opened in a way that allows writing."""
    if not (_watching or _reading) or event != "open":
        return
    if isinstance(arguments[0], str | bytes | os.PathLike):
        for opened in _reading:
            opened.append(os.fsdecode(arguments[0]))
        mode, flags = arguments[1], arguments[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (mode is None and flags & (os.O_WRONLY | os.O_RDWR)):
            for opened in _watching:
                opened.append(os.fsdecode(arguments[0]))
