"""What runs in the other process: it answers the questions of `elsewhere`, one a line."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from selbench.errors import NotApplicable
from selbench.testing import pool_rules, selector_work, suite_rules, trainer_work
from selbench.testing.findings import Finding, NotTested
from selbench.testing.subject import Subject, pool_of_rows
from selbench.testing.watched import globals_seeded


def serve() -> None:
    """The other process's loop: a question a line, an answer a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a plugin prints must not stand among the answers
    for line in sys.stdin:
        question = json.loads(line)
        number = question["number"]
        try:
            os.chdir(question["folder"])
            with globals_seeded(0):
                said: dict[str, Any] = {"result": _result(question)}
        except (NotApplicable, NotTested) as reason:
            said = {"skipped": str(reason)}
        except Finding as finding:
            said = {"raised": finding.found, "where": finding.where}
        except Exception as error:
            said = {"raised": f"{type(error).__name__}: {error}"}
        _say({**said, "number": number}, answers)


def _say(answer: Mapping[str, Any], stream: TextIO) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def _result(question: Mapping[str, Any]) -> Any:
    subject = Subject.of_json(question["subject"])
    pool = pool_of_rows(question["pool"]) if question["pool"] else None
    folder = Path(question["scratch"])
    if subject.kind == "selector":
        assert pool is not None
        chosen = selector_work.selected(subject, pool, question["amount"], folder, seed=question["seed"], fresh=True)
        return [str(id) for id in chosen.ids]
    if subject.kind == "trainer":
        assert pool is not None
        return dataclasses.asdict(trainer_work.trained(subject, list(pool), folder, seed=question["seed"]).model)
    if subject.kind == "suite":
        return suite_rules.plain(suite_rules.scored(subject, folder))
    return pool_rules.plain(pool_rules.loaded(subject))
