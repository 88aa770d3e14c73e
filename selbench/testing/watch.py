"""Finds out which files a piece of code opens, makes or removes, through Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_watching: list[list[tuple[str, str]]] = []
_reading: list[list[str]] = []
_installed = False
# Parts of paths that may be written anywhere: caches of the interpreter and of libraries, and devices.
_CACHES = ("__pycache__", os.sep + ".cache" + os.sep, "numba", "/dev/", "/proc/")
# Variables of the environment that name a cache's folder.
_CACHE_FOLDERS = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "TRITON_CACHE_DIR")
# Audit events of changes to folders, each with the positions of the paths among its arguments.
_CHANGES = {"os.mkdir": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.rename": (0, 1), "os.truncate": (0,)}
_FRAMES = 40  # how far up the stack the line is looked for that a write comes from


@contextmanager
def written_outside(folder: Path) -> Iterator[list[tuple[str, str]]]:
    """Yields a list which, after the block, holds what was written inside it outside `folder`: (path, line of code).

    Written means opened for writing, made, renamed or removed. The line is of the innermost code that is not in a
    library, `mine.py:12`, and empty where there is none.
    """
    _install_hook()
    opened: list[tuple[str, str]] = []
    inside = str(folder.resolve()) + os.sep
    caches = tuple(os.path.realpath(os.environ[name]) + os.sep for name in _CACHE_FOLDERS if os.environ.get(name))
    written: list[tuple[str, str]] = []
    _watching.append(opened)
    try:
        yield written
    finally:
        _watching.remove(opened)
        found = dict.fromkeys((os.path.realpath(path), line) for path, line in opened)
        written += [
            (path, line)
            for path, line in found
            if not path.startswith((inside, *caches)) and not any(cache in path for cache in _CACHES)
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
        sys.addaudithook(_note)
        _installed = True


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: notes the path of a file, and apart from it of one that is opened for writing or changed."""
    if not (_watching or _reading):
        return
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        for opened in _reading:
            opened.append(os.fsdecode(arguments[0]))
        mode, flags = arguments[1], arguments[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (mode is None and flags & (os.O_WRONLY | os.O_RDWR)):
            _note_written(os.fsdecode(arguments[0]))
    elif event in _CHANGES and _watching:
        for position in _CHANGES[event]:
            path = arguments[position]
            # A relative path may be relative to an open folder; that folder's own removal or making is noted.
            relative = isinstance(path, str | bytes) and not os.path.isabs(path) and arguments[-1] not in (-1, None)
            if isinstance(path, str | bytes | os.PathLike) and not relative:
                text = os.fsdecode(path)
                if event != "os.mkdir" or not os.path.exists(text):
                    _note_written(text)


def _note_written(path: str) -> None:
    line = _line_outside_libraries() if _watching else ""
    for opened in _watching:
        opened.append((path, line))


def _line_outside_libraries() -> str:
    """The innermost line on the stack whose file is neither of the standard library, a package nor this one."""
    frame = sys._getframe(2)
    libraries = (os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(__file__)), "<")
    for _ in range(_FRAMES):
        file = frame.f_code.co_filename
        if not file.startswith(libraries) and "site-packages" not in file:
            return f"{file}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""
