"""A sweep, one `selbench -m` command: its cells, the state of each, and the time that is left."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from selbench.numbers import duration_text
from selbench.store.files import read_json, write_json, writing
from selbench.store.stages import now

SWEEP = "sweep.json"
PLAN = "plan.json"


@dataclass(frozen=True)
class Progress:
    """How many cells are in which state."""

    cells: int  # of the sweep
    done: int  # ended, whether finished, failed, skipped or reused
    running: int
    waiting: int  # for another process
    failed: int
    skipped: int
    reused: int  # had a record already
    left_s: float | None  # estimated seconds to the end, by the mean of the cells that were run; None before the first

    @property
    def line(self) -> str:
        """`7 of 24 done (2 reused), 1 running, about 2 min left`."""
        parts = [f"{self.done} of {self.cells} done" + (f" ({self.reused} reused)" if self.reused else "")]
        parts += [f"{count} {name}" for name in ("running", "waiting", "failed") if (count := getattr(self, name))]
        if self.left_s is not None and self.done < self.cells:
            parts.append(f"about {duration_text(self.left_s)} left")
        return ", ".join(parts)


@dataclass(frozen=True)
class Outcome:
    """How many cells of a sweep ended in which way."""

    cells: int  # of the sweep
    finished: int
    reused: int  # of the finished cells, those whose record another cell or an earlier command had made
    skipped: int
    failed: int

    @property
    def ended(self) -> int:
        return self.finished + self.skipped + self.failed

    @property
    def not_started(self) -> int:
        """Cells that fail_fast stopped, or that an interruption left."""
        return self.cells - self.ended


class Sweep:
    """The cells of one `selbench -m` command, in a folder that any of its processes may write to.

    Cells are numbered from 0 here. sweep.json holds id, command, comparison, time of the start, `cells` (their number),
    `rows` (name, run key and overrides of each cell) and `reach` (the budgets of each ranking, see run/reach.py).
    running/N.json says what cell N is doing, done/N.json how it ended.
    """

    def __init__(self, root: Path, id: str) -> None:
        self.id = id
        self.folder = root / id

    def start(
        self,
        command: str,
        comparison: str,
        rows: Sequence[Mapping[str, Any]],
        reach: Mapping[str, Sequence[float]] | None = None,
        hub: Sequence[Mapping[str, str | None]] = (),
        launcher: Mapping[str, Any] | None = None,
    ) -> None:
        """Write sweep.json.

        Args:
            reach: the budgets of each ranking group.
            hub: the commits of what the cells need.
            launcher: the name, engine and number of jobs at once of what carries out the cells.
        """
        about = {"id": self.id, "command": command, "comparison": comparison, "started": now(), "cells": len(rows)}
        with writing(self.folder) as folder:
            write_json(folder / SWEEP, {**about, "rows": rows, "reach": reach or {}, "hub": hub, "launcher": launcher})

    def begin(self, cell: int, name: str) -> None:
        """Note that a cell has begun."""
        self._running(cell, {"name": name, "since": time.time(), "work": ""})

    def note(self, cell: int, work: str) -> None:
        """Note what a cell is doing now."""
        about = read_json(self.folder / "running" / f"{cell}.json") or {"name": "", "since": time.time()}
        self._running(cell, {**about, "work": work})

    def _running(self, cell: int, about: Mapping[str, Any]) -> None:
        with writing(self.folder / "running") as folder:
            write_json(
                folder / f"{cell}.json", {**about, "pid": os.getpid(), "host": socket.gethostname()}, durable=False
            )

    def done(self, cell: int, key: str, status: str, reused: bool) -> None:
        """Note how a cell has ended: `status` is that of its record, or `stopped` if fail_fast did not start it."""
        begun = read_json(self.folder / "running" / f"{cell}.json") or {}
        seconds = time.time() - begun.get("since", time.time())
        with writing(self.folder / "done") as folder:
            write_json(folder / f"{cell}.json", {"key": key, "status": status, "reused": reused, "seconds": seconds})
        (self.folder / "running" / f"{cell}.json").unlink(missing_ok=True)

    @property
    def started(self) -> bool:
        """Whether there is a sweep.json that can be read."""
        return read_json(self.folder / SWEEP) is not None

    @cached_property
    def about(self) -> dict[str, Any]:
        """What sweep.json holds. Raises FileNotFoundError if there is no such sweep."""
        about = read_json(self.folder / SWEEP)
        if about is None:
            raise FileNotFoundError(self.folder / SWEEP)
        return about

    def results(self) -> dict[int, dict[str, Any]]:
        """Cell number -> key, status, reused and seconds of the cells that have ended."""
        return self._numbered("done")

    def running(self) -> dict[int, dict[str, Any]]:
        """Cell number -> name, since, work, pid and host of the cells that are running or waiting."""
        return self._numbered("running")

    def _numbered(self, name: str) -> dict[int, dict[str, Any]]:
        files = sorted((self.folder / name).glob("[0-9]*.json"), key=lambda file: int(file.stem))
        return {int(file.stem): data for file in files if (data := read_json(file))}

    @property
    def failed(self) -> bool:
        return any(result["status"] == "failed" for result in self.results().values())

    def progress(self) -> Progress:
        results, running = self.results(), self.running()
        waiting = sum(about["work"].startswith("waiting") for about in running.values())
        took = [result["seconds"] for result in results.values() if not result["reused"]]
        left = self.about["cells"] - len(results)
        at_once = max(1, len(running))
        return Progress(
            cells=self.about["cells"],
            done=len(results),
            running=len(running) - waiting,
            waiting=waiting,
            failed=sum(result["status"] == "failed" for result in results.values()),
            skipped=sum(result["status"] == "skipped" for result in results.values()),
            reused=sum(bool(result["reused"]) for result in results.values()),
            left_s=left * sum(took) / len(took) / at_once if took else None,
        )

    def outcome(self) -> Outcome:
        """How the cells have ended so far; `progress` counts those under way as well."""
        ended = list(self.results().values())
        statuses = Counter(result["status"] for result in ended)
        return Outcome(
            cells=self.about["cells"],
            finished=statuses["finished"],
            reused=sum(bool(result["reused"]) for result in ended if result["status"] == "finished"),
            skipped=statuses["skipped"],
            failed=statuses["failed"],
        )
