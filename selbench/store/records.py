"""The record of one run: its identity, result and cost, kept as JSON in a folder of the run's own."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import selbench
from selbench.files import written_aside
from selbench.store.axes import Axes
from selbench.store.cost import Cost
from selbench.store.facts import (
    FilterFacts,
    HubCommit,
    LeakSummary,
    ScoreRow,
    SelectionFacts,
    TrainingFacts,
    read_fields,
)
from selbench.store.files import Checksum, damage, read_json, write_json, writing

Status = Literal["finished", "skipped", "failed"]
# The format of record.json, raised when a field changes its meaning. Records without a number are of format 1.
FORMAT = 2
# The files in the folder of a run.
RECORD = "record.json"
SELECTION = "selection.json"
ITEMS = "items.parquet"
TRACEBACK = "traceback.txt"
ASKED = "asked.txt"


@dataclass
class Record:
    """One run: (pool, selector, budget, scorer, model, trainer, suites, seed), its result and its cost."""

    key: str  # the hash of everything that the result depends on
    status: Status
    axes: Axes  # what tells runs apart on a leaderboard
    config: dict[str, Any]  # the resolved configuration
    comparison: str = "default"  # the name of the comparison that the run belongs to
    sweep: str | None = None  # the sweep that carried it out
    reason: str = ""  # why the run failed or was skipped
    created: str = ""  # ISO time in UTC
    command: str = ""
    seeds: dict[str, int] = field(default_factory=dict)  # axis (selection, training, evaluation) -> derived seed
    stages: dict[str, str] = field(default_factory=dict)  # label (kind, or kind/part) -> name of its folder
    scores: list[ScoreRow] = field(default_factory=list)  # results by test item are in items.parquet beside the record
    selection: SelectionFacts = field(default_factory=SelectionFacts)
    training: TrainingFacts = field(default_factory=TrainingFacts)
    leaks: dict[str, LeakSummary] = field(default_factory=dict)  # by suite (docs/leaks.md)
    filters: dict[str, FilterFacts] = field(default_factory=dict)  # by `pool` and `target.NAME`, where they have effect
    unchanged: bool | None = None  # whether the tuned model gives what its base gives; None: not known, or not tuned
    logged: dict[str, float] = field(default_factory=dict)  # `selection/...` and `training/...`: numbers of the plugins
    hub: list[HubCommit] = field(default_factory=list)  # what was taken from the Hugging Face hub, and its commits
    # Of the selection with its features, of training and of evaluation; as measured when they were computed.
    cost: dict[str, Cost] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)  # what versions() gives
    files: dict[str, Checksum] = field(default_factory=dict)  # file beside the record -> its checksum
    # When a command last asked for the run and found this record; ISO time in UTC. In a file of its own, beside the record.
    asked: str = field(default="", compare=False)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Record:
        """From what `plain` gives, in this format or an earlier one; fields that this version does not know are left out."""
        parts = {
            "axes": Axes.read(data["axes"]),
            "scores": [read_fields(ScoreRow, row) for row in data.get("scores", ())],
            "selection": read_fields(SelectionFacts, data.get("selection") or {}),
            "hub": [read_fields(HubCommit, row) for row in data.get("hub") or ()],
            "training": read_fields(TrainingFacts, data["training"])
            if "training" in data
            else TrainingFacts.of_log(data.get("logged") or {}),
            "leaks": {suite: LeakSummary.read(about) for suite, about in (data.get("leaks") or {}).items()},
            "filters": {place: read_fields(FilterFacts, about) for place, about in (data.get("filters") or {}).items()},
        }
        return read_fields(cls, {**data, **parts})

    def plain(self) -> dict[str, Any]:
        """As record.json holds it."""
        parts = {
            "axes": self.axes.plain(),
            "selection": self.selection.plain(),
            "training": self.training.plain(),
            "leaks": {suite: about.plain() for suite, about in self.leaks.items()},
            "filters": {place: about.plain() for place, about in self.filters.items()},
        }
        data = {"format": FORMAT, **dataclasses.asdict(self), **parts}
        del data["asked"]
        return data

    @property
    def name(self) -> str:
        """A readable run name, e.g. `mads 15% planted-1m s0`."""
        return self.axes.name

    @property
    def leaks_selected(self) -> str:
        """Which suites' items the selected examples hold, as a sentence; empty if none is known to."""
        hit = {suite: about for suite, about in self.leaks.items() if about.selected}
        suites = ", ".join(f"{name} ({about.selected_items} of {about.items})" for name, about in hit.items())
        leaked = self.selection.leaked
        return f"items of {suites} stand, whole or in part, in {leaked} of the selected examples." if hit else ""

    def headlines(self, suite: str) -> list[ScoreRow]:
        """The suite's headline scores, mostly one per task."""
        return [row for row in self.scores if row.suite == suite and row.headline]

    @property
    def headline(self) -> dict[str, float]:
        """Suite -> the mean of its headline scores (the macro-average over its tasks)."""
        suites: dict[str, list[float]] = {}
        for row in self.scores:
            if row.headline:
                suites.setdefault(row.suite, []).append(row.value)
        return {suite: sum(values) / len(values) for suite, values in suites.items()}


class Records:
    """All records of one output folder; each run has a folder named by its key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        return self.root / key

    def read(self, key: str) -> Record | None:
        """The record of a run; None if there is none, or if its file holds something else."""
        data = read_json(self.folder(key) / RECORD)
        if not isinstance(data, dict) or not {"key", "status", "axes"} <= data.keys():
            return None
        record = Record.read(data)
        asked = self.folder(key) / ASKED
        record.asked = asked.read_text().strip() if asked.is_file() else ""
        return record

    def note_asked(self, record: Record, time: str) -> None:
        """Note that a command has asked for a run whose record is there."""
        with writing(self.folder(record.key)) as folder, written_aside(folder / ASKED) as aside:
            aside.write_text(time)
        record.asked = time

    def write(self, record: Record) -> None:
        """Write the record, as the last of a run's files: a run whose record exists has ended."""
        with writing(self.folder(record.key)) as folder:
            write_json(folder / RECORD, record.plain())

    def damage(self, record: Record) -> str | None:
        """What is wrong with the first damaged file beside a record; None if all are as they were written."""
        return damage(self.folder(record.key), record.files)

    def keys(self) -> list[str]:
        """The keys of all runs that have a record, sorted."""
        return sorted(path.parent.name for path in self.root.glob(f"[!.]*/{RECORD}"))

    def all(self) -> list[Record]:
        """All records that can be read, oldest first."""
        found = map(self.read, self.keys())
        return sorted((record for record in found if record), key=lambda record: (record.created, record.key))


def distinct(records: Iterable[Record]) -> list[Record]:
    """Each run once, in the order in which it is first seen; of several records of one run the last counts."""
    return list({record.key: record for record in records}.values())


def versions() -> dict[str, Any]:
    """The versions of selbench, Python and the libraries, the commit, and the hardware.

    The GPU and the kind of device (cuda, mps or cpu) are known only once torch has been imported.
    """
    return _versions("torch" in sys.modules)


def device(record: Record) -> str | None:
    """The device that a run was carried out on: the name of its GPU, or its kind; None if unknown."""
    hardware = record.versions.get("hardware") or {}
    known: str | None = hardware.get("gpu") or hardware.get("device")
    return known or (None if "device" in hardware or not hardware else "cpu")


@cache
def _versions(torch_imported: bool) -> dict[str, Any]:
    names = (
        "torch",
        "transformers",
        "trl",
        "peft",
        "lm-eval",
        "datasets",
        "numpy",
        "scikit-learn",
        "numba",
        "mlflow",
    )
    installed = {}
    for name in names:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    torch = sys.modules["torch"] if torch_imported else None
    gpu = torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None
    kind = torch and ("cuda" if gpu else "mps" if torch.backends.mps.is_available() else "cpu")
    return {
        "selbench": selbench.__version__,
        "git": _git_commit(),
        "python": platform.python_version(),
        "packages": installed,
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "device": kind,
            "gpu": gpu,
        },
    }


def _git_commit() -> str | None:
    """The commit of the checkout that selbench runs from, with "+changes" if it was edited since; None outside one."""
    here = Path(__file__).parent
    ask = ["git", "-C", str(here), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    try:
        tracked = subprocess.run(["git", "-C", str(here), "ls-files", "--error-unmatch", __file__], capture_output=True)
        if tracked.returncode:
            return None
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
