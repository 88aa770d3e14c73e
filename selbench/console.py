"""Where words go: results to standard output, everything said on the way to standard error.

Only the command line speaks here. What lies below it warns with `logging`, under the name `selbench`: the command line
shows those warnings in the form of its own, and a notebook that imports selbench does with them as it likes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from tqdm import tqdm

# Not a terminal: nobody's window has to hold the table, so nothing is folded or cut.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False)


def terminal() -> bool:
    """Whether somebody watches: progress bars are drawn only then."""
    return sys.stderr.isatty()


def say(message: str) -> None:
    """One line of progress; text from data is never read as markup."""
    _tell(escape(message))


def warn(message: str) -> None:
    _tell(f"[yellow]warning:[/] {escape(message)}")


def fail(message: str) -> None:
    _tell(f"[bold red]error:[/] {escape(message)}")


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show what selbench's loggers warn of as `warning: ...`, once, for as long as a command runs; inside another, nothing."""
    logger = logging.getLogger("selbench")
    if any(isinstance(handler, _Warnings) for handler in logger.handlers):
        yield
        return
    handler, propagate = _Warnings(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # a library that sets up the root logger would print every warning a second time
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            warn(self.format(record))
        except Exception:
            self.handleError(record)


def _tell(markup: str) -> None:
    with tqdm.external_write_mode(file=sys.stderr):  # bars make room and are drawn again below
        err.print(markup, soft_wrap=True)
