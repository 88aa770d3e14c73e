"""Where words go: results to standard output, everything said on the way to standard error."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

# Not a terminal: nobody's window has to hold the table, so nothing is folded or cut.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One line of progress; text from data is never read as markup."""
    err.print(escape(message), soft_wrap=True)


def warn(message: str) -> None:
    err.print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=True)


def fail(message: str) -> None:
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
