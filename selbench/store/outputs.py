"""The output folder: the place of everything in it, and the run, stage or sweep that a name typed by a person means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from selbench.errors import UserError, unknown
from selbench.store.inventory import Entry, entries
from selbench.store.records import Record, Records
from selbench.store.sweeps import Sweep

LATEST = "latest"  # the name that stands for the last sweep


class Sweeps:
    """All sweeps of one output folder, a folder each. Their names begin with the time, so that they sort by age."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Oldest first."""
        return sorted(path.name for path in self.root.glob("[!.]*") if path.is_dir())

    @property
    def latest(self) -> str | None:
        """The name of the last sweep; None if there is none."""
        return next(reversed(self.names()), None)

    def open(self, name: str) -> Sweep:
        """The sweep of exactly this name, whether it exists or is yet to be started."""
        return Sweep(self.root, name)

    def has(self, name: str) -> bool:
        return (self.root / name).is_dir()

    def named(self, name: str) -> Sweep:
        """The sweep of this name, or the last one for `latest`. Raises UserError, listing all names, if there is none."""
        known = self.names()
        if name == LATEST and known:
            return self.open(known[-1])
        if name not in known:
            raise UserError(unknown("sweep", name, known))
        return self.open(name)


def file_name(name: str) -> str:
    """The name of a pool or run as part of a file's name: without blanks, `%` and `/`."""
    return name.replace("%", "pct").replace(" ", "_").replace("/", "-")


class Outputs:
    """One output folder. Asking for a path or a name creates nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = Records(root / "runs")
        self.sweeps = Sweeps(root / "sweeps")
        self.store = root / "store"  # the stages
        self.reports = root / "reports"
        self.inspections = root / "inspect"
        self.selections = root / "selections"
        self.fetched = root / "fetched"  # an output folder of its own, for records that came from a tracking server
        self.mlflow = root / "mlflow.db"

    def find(self, name: str) -> Record | Entry | Sweep:
        """The run, stage or sweep that `name` stands for.

        A run has the names KEY, a beginning of its key, SWEEP/N and latest/N; a stage its key or a beginning of it; a
        sweep its name, a beginning of it, or `latest`. Runs come before stages, stages before sweeps. Raises UserError
        with the nearest names if nothing has this name, or if several names begin so.
        """
        if "/" in name:
            return self._record_of_cell(name)
        sweeps, runs = self.sweeps.names(), self.records.keys()
        if key := _only_match(name, runs, "run"):
            if record := self.records.read(key):
                return record
            raise UserError(f"the record of run {key} cannot be read: {self.records.folder(key)}.")
        if (name == LATEST and sweeps) or name in sweeps:
            return self.sweeps.named(name)
        stages = {entry.name: entry for entry in entries(self.store, self.records.all())}
        if stage := _only_match(name, sorted(stages), "stage"):
            return stages[stage]
        if sweep := _only_match(name, sweeps, "sweep"):
            return self.sweeps.open(sweep)
        raise UserError(self._unknown_name(name, [*runs, *stages, *sweeps]))

    def find_run(self, name: str) -> Record:
        """The run that `name` stands for (see `find`). Raises UserError if there is none, or if it is a stage or a sweep."""
        found = self.find(name)
        if not isinstance(found, Record):
            raise UserError(f"'{name}' is not a run: `selbench show {name}` says which runs belong to it.")
        return found

    def run_key(self, name: str) -> str:
        """The key of the run for a run's folder or a cell (SWEEP/3, latest/3); any other name unchanged."""
        last = name.rstrip("/").rpartition("/")[2]
        if "/" not in name or self.records.folder(last).is_dir():
            return last
        return self.find_run(name).key

    def _record_of_cell(self, name: str) -> Record:
        """The record of cell N, counted from 1, for `SWEEP/N`. Raises UserError if there is no such cell or record."""
        head, _, number = name.rpartition("/")
        sweeps = self.sweeps.names()
        id = self.sweeps.latest if head == LATEST else _only_match(head, sweeps, "sweep")
        if id is None:
            raise UserError(self._unknown_name(head, sweeps))
        sweep = self.sweeps.open(id)
        cells = sweep.about["cells"]
        if not number.isdigit() or not 1 <= int(number) <= cells:
            raise UserError(f"sweep {id} has cells 1 to {cells}, but no cell '{number}'.")
        key = sweep.results().get(int(number) - 1, {}).get("key")
        record = self.records.read(key) if key else None
        if not record:
            raise UserError(f"cell {number} of sweep {id} has no record: it did not start, or has not ended yet.")
        return record

    def _unknown_name(self, name: str, names: Iterable[str]) -> str:
        """The message for a name that nothing has, with up to three of `names` that are like it."""
        near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        return (
            f"unknown run, stage or sweep '{name}' in {self.root}.{hint} "
            f"`selbench show latest` lists the last sweep's runs."
        )


def _only_match(name: str, names: Iterable[str], what: str) -> str | None:
    """The one of `names` that is `name`, or begins with it; None if none does. Raises UserError if several begin so."""
    names = list(names)
    if name in names:
        return name
    begun = [other for other in names if other.startswith(name)]
    if len(begun) > 1:
        raise UserError(f"'{name}' is the beginning of {len(begun)} {what}s: {', '.join(begun[:8])}.")
    return begun[0] if begun else None
