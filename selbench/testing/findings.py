"""How a check says what it found: a finding, or why it could not test; and where in the plugin's files to look."""

from __future__ import annotations

import inspect
import os
import traceback
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selbench.errors import NotApplicable
from selbench.run.plugin_call import described, plugin_call, plugin_title
from selbench.testing.process import process_restored


class Finding(AssertionError):
    """A check failed: what was `expected`, what was `found`, the line to look `where`, and the `smallest` case known."""

    def __init__(self, expected: str, found: str, where: str = "", smallest: str = "") -> None:
        self.expected, self.found, self.where, self.smallest = expected, found, where, smallest
        super().__init__(expected, found, where, smallest)

    def __str__(self) -> str:
        return "; ".join(f"{label} {text}" for label, text in self.lines())

    def lines(self) -> list[tuple[str, str]]:
        """(label, text) of all that is known."""
        labels = ("expected", "found", "smallest", "where")
        return [(label, text) for label in labels if (text := getattr(self, label))]


class Raised(Finding):
    """The plugin raised an error where it should have returned something; `error` is what it raised."""

    def __init__(self, expected: str, error: BaseException, where: str) -> None:
        super().__init__(expected, described(error), where)
        self.error = error


class NotTested(unittest.SkipTest):
    """A check that does not apply, with the reason; pytest and unittest count it as skipped."""


def expect(true: bool, expected: str, found: str, where: str = "") -> None:
    """Raises Finding unless `true`."""
    if not true:
        raise Finding(expected, found, where)


@contextmanager
def at_work(plugin: Any, method: str, expected: str) -> Iterator[None]:
    """The block in which a check calls a method of the plugin: whatever the plugin raises there is a finding.

    Raises Raised, which also stands for AssertionError and for an attempt to end the process. NotApplicable,
    KeyboardInterrupt and the findings and skips of checks pass.
    """
    try:
        with plugin_call(plugin, method), process_restored():
            yield
    except (NotApplicable, Finding, NotTested):
        raise
    except Exception as error:
        raise Raised(expected, error, line_of_error(error, plugin) or place_of(plugin, method)) from error


def place_of(plugin: Any, method: str) -> str:
    """Where a method of a plugin (or of its class) is written: `mine.py:12, in select`; empty if that is not known."""
    try:
        function = inspect.unwrap(getattr(plugin, method))
        return f"{shown(inspect.getsourcefile(function) or '')}:{inspect.getsourcelines(function)[1]}, in {method}"
    except (AttributeError, OSError, TypeError):
        return ""


def line_of_error(error: BaseException, plugin: Any) -> str:
    """The innermost line in the plugin's own folders that an error passed through, else the line that raised it."""
    cause: BaseException | None = error
    frames: list[traceback.FrameSummary] = []
    while cause is not None:
        frames = [*frames, *traceback.extract_tb(cause.__traceback__)]
        own = [frame for frame in frames if is_own(frame.filename, plugin)]
        if own:
            return f"{shown(own[-1].filename)}:{own[-1].lineno}, in {own[-1].name}"
        cause = cause.__cause__
    outside = [frame for frame in frames if "selbench/testing" not in frame.filename.replace(os.sep, "/")]
    return f"{shown(outside[-1].filename)}:{outside[-1].lineno}, in {outside[-1].name}" if outside else ""


def is_own(file: str, plugin: Any) -> bool:
    """Whether a file lies in the folder of the module of the plugin's class or of a base that a plugin author wrote."""
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    return any(file.startswith(home) for home in _class_folders(cls))


def _class_folders(cls: type) -> list[str]:
    homes = []
    for base in cls.__mro__:
        try:
            homes.append(str(Path(inspect.getfile(base)).parent) + os.sep)
        except (TypeError, OSError):  # a class of Python's own, or one without a file
            continue
    return homes


def shown(file: str) -> str:
    """A path as it is printed: relative to the working directory where it lies below it."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file


def complaint(error: BaseException, plugin: Any) -> str:
    """What the framework says of a plugin, without its kind and name in front."""
    return str(error).removeprefix(plugin_title(plugin)).lstrip(": ")
