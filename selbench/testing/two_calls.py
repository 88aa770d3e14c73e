"""The first and the second call of a plugin's method, each made once for all checks that look at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from selbench.declare import WORK
from selbench.errors import NotApplicable
from selbench.testing.findings import Finding, NotTested
from selbench.testing.subject import Subject
from selbench.testing.watched import globals_seeded

R = TypeVar("R")  # what the method returns


def first_result(subject: Subject, call: Callable[[], R]) -> R:
    """The result that other checks compare theirs with.

    Raises NotTested if there is none: the plugin does not apply here, or the check of that call says what is wrong.
    """
    try:
        return second_result(subject, call, "first")
    except NotApplicable as reason:
        raise NotTested(f"the {subject.kind} does not apply to what it is checked with: {reason}") from reason
    except Finding as finding:
        raise NotTested(f"{WORK[subject.kind]}() fails, as another check says") from finding


def second_result(subject: Subject, call: Callable[[], R], which: str = "second") -> R:
    """The result of the same call made once more, with the same global seeds. Raises what the call raises."""

    def seeded() -> R:
        with globals_seeded(0):
            return call()

    found: R = subject.remember(which, seeded)
    return found
