"""Runs a recorded run again: reports what has changed since the record, and compares the new result with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selbench.errors import UserError
from selbench.run.carry_out import carry_out
from selbench.run.identity import new_record
from selbench.settings import Run
from selbench.store.facts import ScoreRow
from selbench.store.files import read_json
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, Record, versions


@dataclass(frozen=True)
class Rerun:
    """A record beside the record of the same run computed again. Pairs are (recorded, new)."""

    recorded: Record
    new: Record
    ids: tuple[list[str], list[str]] | None = (
        None  # the selected ids, best first; None where selections are not compared
    )
    scores: tuple[list[float] | None, list[float] | None] = (None, None)  # the selector's scores of these ids
    items: tuple[int, int] | None = None  # test items of both runs together, and those whose value differs

    @property
    def same_selection(self) -> bool:
        """Whether both runs selected the same ids in the same order."""
        return self.ids is not None and self.ids[0] == self.ids[1]

    @property
    def gpus(self) -> tuple[str | None, str | None]:
        """The GPU of each run; None for a CPU."""
        return _flat_versions(self.recorded.versions).get("gpu"), _flat_versions(self.new.versions).get("gpu")

    def headlines(self) -> Iterator[tuple[str, float, float]]:
        """(suite, recorded headline score, new headline score) of each recorded suite; NaN where the new run has none."""
        for suite, mean in self.recorded.headline.items():
            yield suite, mean, self.new.headline.get(suite, math.nan)

    def changed_scores(self) -> list[tuple[ScoreRow, float | None]]:
        """The recorded score rows whose value has changed, each with the new value; None where the new run lacks it."""
        values = {(row.suite, row.task, row.metric): row.value for row in self.new.scores}
        rows = [(row, values.get((row.suite, row.task, row.metric))) for row in self.recorded.scores]
        return [(row, value) for row, value in rows if value != row.value]


def rerun_record(record: Record, run: Run, outputs: Path, folder: Path, say: Callable[[str], None]) -> Rerun:
    """Compute `run` in the empty output folder `folder`, and compare it with its `record` in the folder `outputs`.

    `say` is called with what the run is doing. Raises UserError if the recorded selection cannot be read.
    """
    new, _ = carry_out(dataclasses.replace(run, output_dir=folder, sweep=None, reuse="missing", retry=None), say)
    before, after = Outputs(outputs).records.folder(record.key), Outputs(folder).records.folder(new.key)
    old_selection, new_selection = read_json(before / SELECTION), read_json(after / SELECTION)
    # A run that failed or was skipped before it selected anything has no selection to compare.
    if new.status != record.status or (record.status != "finished" and not (old_selection and new_selection)):
        return Rerun(record, new)
    if not old_selection or not new_selection:
        raise UserError(f"{before / SELECTION} cannot be read: there is nothing to compare the selection with.")
    ids, scores = ((old_selection[name], new_selection[name]) for name in ("ids", "scores"))
    return Rerun(record, new, ids, scores, _differing_items(before / ITEMS, after / ITEMS))


def _differing_items(before: Path, after: Path) -> tuple[int, int] | None:
    """(items of both files together, those whose value differs or that one file lacks); None if a file is missing."""
    import pandas as pd

    if not before.is_file() or not after.is_file():
        return None
    keys = ["suite", "task", "metric", "item"]
    both = pd.read_parquet(before).merge(pd.read_parquet(after), on=keys, how="outer")
    return len(both), int((both["value_x"] != both["value_y"]).sum())


def changes_since(record: Record, run: Run) -> Iterator[str]:
    """A sentence for each thing that has changed since the record was made: data, plugins, code, libraries, machine."""
    now = new_record(run)
    old, new = record.axes, now.axes
    if old.pool_key != new.pool_key:
        yield f"the pool has changed: its fingerprint was {old.pool_key}, now it is {new.pool_key}."
    if old.trainer_key != new.trainer_key:
        yield "the trainer's code has changed, or a file that its options name."
    for name, key in old.suite_keys.items():
        if new.suite_keys.get(name) != key:
            yield f"the suite '{name}' has changed: its code, or a file that its options name."
    settled = [(axes.pool_key, axes.trainer_key, axes.suite_keys) for axes in (old, new)]
    if settled[0] == settled[1] and now.key != record.key:
        yield "the selector's code has changed, or the model, the scorer or the target examples."
    was, here = _flat_versions(record.versions), _flat_versions(versions())
    changed = [
        f"{name} {was[name]} → {here.get(name)}"
        for name in was
        if was[name] != here.get(name) and name not in ("gpu", "device")
    ]
    if changed:
        yield f"versions differ from the recorded ones: {', '.join(changed)}."


def _flat_versions(versions: Mapping[str, Any]) -> dict[str, Any]:
    """The versions with their groups (packages, hardware) taken apart: one name, one value."""
    flat: dict[str, Any] = {}
    for name, value in versions.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
