"""Runs the checks of a plugin and says how each came out; nothing that a plugin does ends the run."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from selbench.errors import NotApplicable
from selbench.run.plugin_call import described
from selbench.testing import pool_rules, selector_rules, suite_rules, trainer_rules
from selbench.testing.elsewhere import asked
from selbench.testing.findings import Finding, NotTested, line_of_error
from selbench.testing.process import one_thread
from selbench.testing.subject import Subject

Check = Callable[[Subject, Path], None]
_RULES = {
    "selector": (selector_rules, selector_rules.selector_checks),
    "trainer": (trainer_rules, trainer_rules.trainer_checks),
    "suite": (suite_rules, suite_rules.suite_checks),
    "pool": (pool_rules, pool_rules.pool_checks),
}


@dataclass(frozen=True)
class Outcome:
    """How one check came out."""

    check: str  # its name
    rule: str  # the rule that it tests
    verdict: Literal["ok", "failed", "skipped"]
    seconds: float
    # (label, text): expected, found, smallest, where of a failure, the reason of a skip
    lines: list[tuple[str, str]] = field(default_factory=list)


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind of plugin."""
    return _RULES[kind][1]


def run_checks(subject: Subject) -> Iterator[Outcome]:
    """The outcome of every check, as it comes. KeyboardInterrupt passes."""
    # Where checks end early, the other process may still write there while it is removed.
    with one_thread(), tempfile.TemporaryDirectory(prefix="selbench-check-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        begun = False
        try:
            for check in checks_of(subject.kind):
                started = time.perf_counter()
                verdict, lines = _outcome(check, subject, scratch)
                rule = " ".join((check.__doc__ or "").split())
                yield Outcome(check.__name__, rule, verdict, time.perf_counter() - started, lines)
                if not begun:  # the plugin can be built: the other process does its part while this one goes on
                    begun = _begin_elsewhere(subject, scratch)
                # Libraries collect garbage after each training, which takes as long as one; what is there now is none.
                gc.freeze()
        finally:
            gc.unfreeze()


def _outcome(
    check: Check, subject: Subject, scratch: Path
) -> tuple[Literal["ok", "failed", "skipped"], list[tuple[str, str]]]:
    streams = sys.stdout, sys.stderr
    try:
        check(subject, scratch)
    except (NotTested, NotApplicable) as reason:
        return "skipped", [("reason", str(reason) or "it says NotApplicable, without a reason")]
    except Finding as finding:
        return "failed", finding.lines()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anything else that a plugin raises, in its properties too
        return "failed", [("found", described(error)), ("where", line_of_error(error, subject.cls))]
    finally:
        sys.stdout, sys.stderr = streams  # a plugin may have put others in their place
    return "ok", []


def _begin_elsewhere(subject: Subject, scratch: Path) -> bool:
    """Give the other process its part of the work, where there is one; False where it cannot be said yet."""
    rules = _RULES[subject.kind][0]
    try:
        subject.remembered["elsewhere"] = asked(subject, rules.work_elsewhere(subject, scratch))
    except BaseException as error:  # the check itself will say what is wrong
        if isinstance(error, KeyboardInterrupt):
            raise
        return False
    return True
