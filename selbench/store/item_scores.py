"""Item-level results of runs: read when they are asked for, and aligned between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selbench.store.records import ITEMS, Record

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


class ItemScores:
    """The item values of the headline metrics of runs, read from the `items.parquet` beside each record."""

    def __init__(self, runs: Path, records: Sequence[Record]) -> None:
        """`runs` is the folder that holds the folders of `records` (`Outputs(...).records.root`)."""
        self._runs = runs
        self._headline = {record.key: [row for row in record.scores if row.headline] for record in records}
        self._read: dict[str, dict[str, pd.Series[Any]] | None] = {}

    def of(self, run: str, suite: str) -> pd.Series[Any] | None:
        """The values of a run on a suite, indexed by (task, item) in the order of the tasks' names.

        None if they are missing, or if their mean is not the task's score: a metric of the whole set, such as a
        perplexity, says nothing of single items.
        """
        if run not in self._read:
            self._read[run] = self._load(run)
        found = self._read[run]
        return None if found is None else found.get(suite)

    def why_none(self, run: str, suite: str) -> str:
        """Why `of` gives None, as the end of a sentence about the run; empty if it gives values."""
        if self.of(run, suite) is not None:
            return ""
        import pandas as pd

        file = self._runs / run / ITEMS
        if not file.is_file():
            return "has no item-level results"
        kept = set(pd.read_parquet(file, columns=["suite", "task"]).itertuples(index=False, name=None))
        tasks = [str(row.task) for row in self._headline.get(run, []) if row.suite == suite]
        missing = [task for task in tasks if (suite, task) not in kept]
        if missing:
            return f"has no item-level results of {', '.join(missing)}"
        return "has item-level results, but a score that is not their mean, which they do not explain"

    def _load(self, run: str) -> dict[str, pd.Series[Any]] | None:
        import pandas as pd

        file = self._runs / run / ITEMS
        if not file.is_file():
            return None
        values = pd.read_parquet(file).set_index(["suite", "task", "metric"]).sort_index()
        suites: dict[str, list[pd.DataFrame]] = {}
        for row in sorted(self._headline.get(run, []), key=lambda row: str(row.task)):
            place = (row.suite, row.task, row.metric)
            part = values.loc[[place]] if place in values.index else values.iloc[:0]
            # An empty list, shorter than the number of tasks, marks the whole suite as unusable.
            if not np.isclose(part["value"].mean(skipna=False), row.value, rtol=1e-6, atol=1e-9):
                suites[row.suite] = []
                continue
            suites.setdefault(row.suite, []).append(part.reset_index())
        return {suite: _joined_values(parts) for suite, parts in suites.items() if self._whole(run, suite, parts)}

    def _whole(self, run: str, suite: str, parts: list[pd.DataFrame]) -> bool:
        return len(parts) == sum(row.suite == suite for row in self._headline[run])


def _joined_values(parts: list[pd.DataFrame]) -> pd.Series[Any]:
    import pandas as pd

    values: pd.Series[Any] = pd.concat(parts, ignore_index=True).set_index(["task", "item"])["value"].astype(float)
    return values


@dataclass(frozen=True)
class Aligned:
    """The item values of one table, the items in the order of their tasks."""

    values: Floats  # arms x seeds x items; NaN if an arm lacks a seed
    starts: NDArray[np.int64]  # where each task's items begin


def align_items(
    items: ItemScores, suite: str, runs: Sequence[Mapping[int, str]], fixed: Sequence[bool]
) -> Aligned | None:
    """The item values of the arms of one table; None unless all their runs have answered the same items.

    `runs` gives for each arm: column of the seed -> key of the run. The values of a `fixed` arm, which has no seed,
    stand in every column.
    """
    columns = 1 + max((column for arm in runs for column in arm), default=0)
    index, values = None, None
    for number, arm in enumerate(runs):
        for column, run in arm.items():
            found = items.of(run, suite)
            if found is None or found.index.has_duplicates:
                return None
            if index is None or values is None:
                index, values = found.index, np.full((len(runs), columns, len(found)), np.nan)
            if not found.index.equals(index):
                if len(found) != len(index) or not found.index.isin(index).all():
                    return None
                found = found.reindex(index)
            values[number, slice(None) if fixed[number] else column] = found.to_numpy()
    if index is None or values is None:
        return None
    tasks = index.get_level_values("task")
    starts = np.flatnonzero(np.concatenate([[True], tasks[1:] != tasks[:-1]]))
    return Aligned(values, starts)
