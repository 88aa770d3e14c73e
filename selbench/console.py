"""Where words go: results to standard output, everything said on the way to standard error."""

from __future__ import annotations

import sys

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


def _tell(markup: str) -> None:
    with tqdm.external_write_mode(file=sys.stderr):  # bars make room and are drawn again below
        err.print(markup, soft_wrap=True)
