"""What the command line prints: results to standard output, progress, warnings and errors to standard error.

Only the command line prints through this module. The packages below it warn with `logging`, under the name `selbench`:
the command line shows those warnings in its own form, and a notebook that imports selbench can handle them otherwise.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from tqdm import tqdm

# If the output is a file or a pipe, no window limits the width: 160 columns keep rich from folding or cutting tables.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False)


def terminal() -> bool:
    """Whether standard error is a terminal: progress bars are drawn only then."""
    return sys.stderr.isatty()


def say(message: str) -> None:
    """Print one line of progress; square brackets in the message are not read as rich markup."""
    _tell(escape(message))


def warn(message: str) -> None:
    """Print a line that begins with `warning:`."""
    _tell(f"[yellow]warning:[/] {escape(message)}")


def fail(message: str) -> None:
    """Print a line that begins with `error:`; it does not end the program."""
    _tell(f"[bold red]error:[/] {escape(message)}")


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show the warnings of selbench's loggers as `warning: ...` while a command runs; a nested use adds nothing."""
    logger = logging.getLogger("selbench")
    if any(isinstance(handler, _Warnings) for handler in logger.handlers):
        yield
        return
    handler, propagate = _Warnings(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # libraries that configure the root logger would print every warning a second time
    try:
        yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    """Prints log records as warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            warn(self.format(record))
        except Exception:
            self.handleError(record)


def _tell(markup: str) -> None:
    # Clears tqdm's progress bars before the line is printed, and draws them again below it.
    with tqdm.external_write_mode(file=sys.stderr):
        err.print(markup, soft_wrap=True)
