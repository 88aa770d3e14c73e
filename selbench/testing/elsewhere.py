"""Asks the other process, which does the same work with another hash seed, for all checks of this one."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from selbench.testing.findings import Finding, NotTested
from selbench.testing.subject import Subject, rows

# The other process finds modules where this one does: a folder named selbench in the working directory is not selbench.
START = "import sys; sys.path[:] = sys.argv[1].splitlines(); import selbench.testing.served as it; it.serve()"
HASH_SEED = "4242"


class OtherProcess:
    """A process that works on one question after the other, while this one goes on until it reads the answer."""

    def __init__(self) -> None:
        self._messages = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        paths = [path or os.getcwd() for path in sys.path]
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, "\n".join(paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=environment,
            cwd=Path(__file__).parent.parent,  # no module of that folder is imported: sys.path is replaced first
        )
        self._asked = 0
        atexit.register(self.stop)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: Mapping[str, Any]) -> int:
        """Hand over a question; its number, by which the answer is found. Raises Finding if the process has ended."""
        assert self._process.stdin is not None
        self._asked += 1
        try:
            self._process.stdin.write(json.dumps({**question, "number": self._asked, "folder": os.getcwd()}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        return self._asked

    def answer(self, number: int) -> dict[str, Any]:
        """The answer to a question; those to earlier ones, which nobody wants any more, are passed over.

        Raises Finding if the process has ended.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["number"] == number:
                return found
        raise self._ended()

    def _ended(self) -> Finding:
        status = self._process.wait()
        self._messages.seek(0)
        said = self._messages.read().strip().splitlines()[-1:] or ["nothing"]
        return Finding("the other process to answer", f"it ended with status {status}, saying: {said[0]}")

    def stop(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()
            self._process.wait()


_other: list[OtherProcess] = []


def asked(subject: Subject, work: Mapping[str, Any]) -> tuple[OtherProcess, int]:
    """The other process, started if there is none, and the number of the question that hands it this work.

    `work` is what `work_elsewhere` of the rules of the subject's kind gives.
    """
    if not _other or not _other[0].alive:
        _other[:] = [OtherProcess()]
    pool = work.get("pool")
    question = {"subject": subject.as_json(), **work, "pool": rows(pool) if pool is not None else None}
    return _other[0], _other[0].ask(question)


def result_elsewhere(subject: Subject, work: Mapping[str, Any]) -> Any:
    """What the other process gets. Raises Finding with what it raised there, and NotTested if it does not apply."""
    begun = subject.remembered.pop("elsewhere", None)
    process, number = begun if begun is not None else asked(subject, work)
    found = process.answer(number)
    if "skipped" in found:
        raise NotTested(found["skipped"])
    if "raised" in found:
        raise Finding("another process to do what this one does", f"there: {found['raised']}", found.get("where", ""))
    return found["result"]
