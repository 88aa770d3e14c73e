"""Errors that are a message to the user: printed as one sentence, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: the message says what is wrong, where, and the valid choices."""


class PluginError(UserError):
    """A plugin broke its contract (too few ids, foreign ids, a name declared twice, a failing import)."""


class NotApplicable(Exception):
    """Raised by a plugin for "this does not apply here": the run is recorded as skipped with the reason."""


def unknown(what: str, name: object, choices: Iterable[object]) -> str:
    """The one wording for "no such thing": names it, suggests the nearest and lists the valid choices."""
    valid = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(name), valid, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"unknown {what} '{name}'.{hint} Valid: {', '.join(valid) or '(none)'}."
