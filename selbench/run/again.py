"""A recorded run once more: what has changed since, and what the same run gives now."""

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
from selbench.run.inputs import load_pool
from selbench.settings import Run
from selbench.store.facts import ScoreRow
from selbench.store.files import read_json
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, Record, versions


@dataclass(frozen=True)
class Again:
    """A record and its run made anew. `ids` and `scores`: of the recorded selection and of the new one, None without one.

    `items` counts the item-level results of either and how many of them differ; None where one run has none.
    """

    recorded: Record
    made: Record
    ids: tuple[list[str], list[str]] | None = None
    scores: tuple[list[float] | None, list[float] | None] = (None, None)
    items: tuple[int, int] | None = None

    @property
    def same_selection(self) -> bool:
        return self.ids is not None and self.ids[0] == self.ids[1]

    @property
    def gpus(self) -> tuple[str | None, str | None]:
        """The device that either ran on; None for a CPU."""
        return _flat(self.recorded.versions).get("gpu"), _flat(self.made.versions).get("gpu")

    def headlines(self) -> Iterator[tuple[str, float, float]]:
        """Each suite with its recorded score and the new one (NaN where there is none)."""
        for suite, mean in self.recorded.headline.items():
            yield suite, mean, self.made.headline.get(suite, math.nan)

    def other_scores(self) -> list[tuple[ScoreRow, float | None]]:
        """The recorded score rows whose value is another now, with that value."""
        new = {(row.suite, row.task, row.metric): row.value for row in self.made.scores}
        rows = [(row, new.get((row.suite, row.task, row.metric))) for row in self.recorded.scores]
        return [(row, value) for row, value in rows if value != row.value]


def made_again(record: Record, run: Run, outputs: Path, folder: Path, say: Callable[[str], None]) -> Again:
    """Compute `run` in the empty `folder`, and lay it beside its `record`, whose files are under `outputs`.

    Raises UserError if the recorded selection cannot be read.
    """
    made, _ = carry_out(dataclasses.replace(run, output_dir=folder, sweep=None, reuse="missing", retry=None), say)
    before, after = Outputs(outputs).records.folder(record.key), Outputs(folder).records.folder(made.key)
    old, new = read_json(before / SELECTION), read_json(after / SELECTION)
    if made.status != record.status or (record.status != "finished" and not (old and new)):
        return Again(record, made)
    if not old or not new:
        raise UserError(f"{before / SELECTION} cannot be read: there is nothing to compare the selection with.")
    ids, scores = (old["ids"], new["ids"]), (old["scores"], new["scores"])
    return Again(record, made, ids, scores, _differing_items(before / ITEMS, after / ITEMS))


def _differing_items(before: Path, after: Path) -> tuple[int, int] | None:
    """How many items there are on either side, and how many of them have another value."""
    import pandas as pd

    if not before.is_file() or not after.is_file():
        return None
    keys = ["suite", "task", "metric", "item"]
    both = pd.read_parquet(before).merge(pd.read_parquet(after), on=keys, how="outer")
    return len(both), int((both["value_x"] != both["value_y"]).sum())


def changes_since(record: Record, run: Run) -> Iterator[str]:
    """What is not as it was when the record was made, a sentence each: data, plugins, code, libraries, machine."""
    now = new_record(run, load_pool(run.pool))
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
    was, here = (
        _flat(record.versions),
        _flat(versions.__wrapped__()),
    )  # what is kept is for records, once torch is there
    changed = [
        f"{name} {was[name]} → {here.get(name)}" for name in was if was[name] != here.get(name) and name != "gpu"
    ]
    if changed:
        yield f"versions differ from the recorded ones: {', '.join(changed)}."


def _flat(versions: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in versions.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
