"""Errors that are messages to the user: each is printed as one sentence, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend. The message says what is wrong, where, and which choices are valid."""


class NotAtHand(UserError):
    """Something is not on this machine: a data set, model or encoder that cannot be fetched now, or a module to be installed.

    `selbench plan` goes on without it, and says what is missing.
    """


class PluginError(UserError):
    """A plugin broke its contract (too few ids, foreign ids, a name declared twice, a failing import)."""


class UndeclaredError(PluginError):
    """A selector asked its context for what it has not declared to depend on."""


class NotApplicable(Exception):
    """Raised by a plugin whose method does not apply to this run; the run is recorded as skipped, with the reason."""


def unknown(what: str, name: object, choices: Iterable[object]) -> str:
    """The message for a name that does not exist: it suggests the nearest valid name and lists all of them."""
    valid = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(name), valid, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{name}'.{hint} Valid: {', '.join(valid) or '(none)'}."
