"""Scores and items of two sides: differences with the noise of seeds and of items, and which items changed.

The noise comes from the functions of the leaderboard (differences, items).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selbench.comparison.sides import Side
from selbench.report.items import ItemScores
from selbench.statistics import differences
from selbench.statistics.item_noise import item_variance

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreDifference:
    """A suite (`task` empty: the mean of its tasks) or one of its tasks.

    `a` and `b` are means over seeds as measured; `mean` is their difference, above 0 where a is better, with its
    interval and p (NaN where nothing is known of the noise); `se_seed` and `se_item` are its parts. `items` are those
    that both sides answered.
    """

    suite: str
    task: str
    metric: str
    higher_is_better: bool
    a: float
    b: float
    mean: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    se: float = math.nan
    se_seed: float = math.nan
    se_item: float = math.nan
    seeds: int = 1
    items: int = 0


@dataclass(frozen=True)
class Changes:
    """The items of one suite. For 0/1 metrics `only_a` and `only_b` count (seed, item) pairs that one side alone got
    right; `changed` are those with any difference."""

    suite: str
    binary: bool
    answers: int
    changed: int
    only_a: int = 0
    only_b: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Answers:
    """The items that both sides answered: `a` and `b` are seeds x items, in the order of `index` (task, item)."""

    suite: str
    index: Any
    a: Floats
    b: Floats
    sign: int
    left_out: int

    @classmethod
    def of(cls, suite: str, a: Side, b: Side, items: ItemScores) -> Answers | None:
        """None where a run lacks item-level results, or the two share no item."""
        columns = [[items.of(record.key, suite) for record in side.records] for side in (a, b)]
        read = [column for side in columns for column in side if column is not None]
        if len(read) < len(a.records) + len(b.records) or any(column.index.has_duplicates for column in read):
            return None
        every, shared = read[0].index, read[0].index
        for column in read[1:]:
            every, shared = every.union(column.index, sort=False), shared.intersection(column.index, sort=False)
        if not len(shared):
            return None
        shared = shared.sort_values()
        values = [
            np.array([column.reindex(shared).to_numpy() for column in side if column is not None]) for side in columns
        ]
        sign = 1 if a.records[0].headlines(suite)[0].higher_is_better else -1
        return cls(suite, shared, values[0], values[1], sign, len(every) - len(shared))

    @property
    def difference(self) -> Floats:
        """Seeds x items, above 0 where a is better."""
        return self.sign * (self.a - self.b)

    def starts(self) -> NDArray[np.int64]:
        """Where each task's items begin."""
        tasks = self.index.get_level_values("task")
        return np.flatnonzero(np.concatenate([[True], tasks[1:] != tasks[:-1]]))

    def part(self, task: str) -> Floats:
        """The differences of one task's items: seeds x items."""
        return self.difference[:, np.asarray(self.index.get_level_values("task") == task)]

    def changes(self) -> Changes:
        both = np.concatenate([self.a.ravel(), self.b.ravel()])
        binary = bool(np.isin(both, (0.0, 1.0)).all())
        gap = self.difference
        one, other = (int((gap > 0).sum()), int((gap < 0).sum())) if binary else (0, 0)
        return Changes(self.suite, binary, gap.size, int((gap != 0).sum()), one, other, self.left_out)

    def table(self) -> pd.DataFrame:
        import pandas as pd

        columns = {"a": self.a.mean(0), "b": self.b.mean(0), "difference": self.difference.mean(0)}
        return pd.DataFrame(columns, self.index).reset_index().assign(suite=self.suite)


def score_differences(suite: str, a: Side, b: Side, answers: Answers | None) -> list[ScoreDifference]:
    """The suite, then its tasks where there are several; what one side lacks is left out."""
    first = a.records[0].headlines(suite)
    metrics = {row.task: row.metric for row in first}
    together = first[0].metric if len(set(metrics.values())) == 1 else "mean"
    sign = 1 if first[0].higher_is_better else -1
    found = {
        task: (_scores_by_seed(a, suite, task), _scores_by_seed(b, suite, task)) for task in ["", *sorted(metrics)]
    }
    values = {task: pair for task, pair in found.items() if np.isfinite(pair).all()}
    fixed = [len(side.seeds) > 1 and len({record.key for record in side.records}) == 1 for side in (a, b)]
    noise = _noise_by_task({"": together}, values, fixed, answers, sign)
    noise |= _noise_by_task({task: metrics[task] for task in values if task}, values, fixed, answers, sign)
    rows = [
        ScoreDifference(
            suite,
            task,
            metrics.get(task, together),
            sign > 0,
            float(values[task][0].mean()),
            float(values[task][1].mean()),
            **noise[task],
            seeds=len(a.seeds),
        )
        for task in values
    ]
    return rows if len(metrics) > 1 else rows[:1]


def _scores_by_seed(side: Side, suite: str, task: str) -> Floats:
    """The score under each seed; the mean of all tasks where none is named; NaN where it is missing."""
    found = []
    for record in side.records:
        rows = [row.value for row in record.headlines(suite) if task in ("", row.task)]
        found.append(float(np.mean(rows)) if rows else math.nan)
    return np.asarray(found)


def _noise_by_task(
    metrics: Mapping[str, str],
    values: Mapping[str, tuple[Floats, Floats]],
    fixed: Sequence[bool],
    answers: Answers | None,
    sign: int,
) -> dict[str, dict[str, Any]]:
    """What is known of the difference of each task that `metrics` names, which share what is known of seeds."""
    tasks = list(metrics)
    count = len(tasks)
    if not count:
        return {}
    alike = sorted(set(metrics.values()))
    cells = differences.Cells(
        scores=np.concatenate([np.stack(values[task]) for task in tasks]),
        fixed=np.tile(fixed, count),
        setting=np.repeat(np.arange(count), 2),
        table=np.repeat(np.arange(count), 2),
        arm=np.tile([0, 1], count),
        measure=np.repeat([alike.index(metrics[task]) for task in tasks], 2),
    )
    upper = 2 * np.arange(count)
    found = differences.cell_differences(cells, upper, upper + 1, "moderated", cells.borrowed())
    items = [_item_noise(answers, task) for task in tasks]
    item = np.array([variance for variance, _, _ in items])
    item_df = np.array([df for _, df, _ in items])
    by_seed, by_item = found.df > 0, np.isfinite(item)
    total, df = differences.satterthwaite(
        np.where(by_seed, found.variance, 0.0),
        np.where(by_seed, found.df, np.inf),
        np.where(by_item, item, 0.0),
        np.where(by_item, item_df, np.inf),
    )
    known = (by_seed | by_item) & np.isfinite(df)
    se, df = np.where(known, np.sqrt(total), np.nan), np.where(known, df, 0.0)
    mean = sign * found.mean
    half, p = differences.half_width(se, df, CONFIDENCE), differences.p_values(mean, se, df)
    return {
        task: {
            "mean": float(mean[i]),
            "low": float(mean[i] - half[i]),
            "high": float(mean[i] + half[i]),
            "p": float(p[i]),
            "se": float(se[i]),
            "se_seed": float(np.sqrt(found.variance[i])) if by_seed[i] else math.nan,
            "se_item": float(np.sqrt(item[i])),
            "items": items[i][2],
        }
        for i, task in enumerate(tasks)
    }


def _item_noise(answers: Answers | None, task: str) -> tuple[float, float, int]:
    """The variance that other items would add, its degrees of freedom, and how many items there are."""
    if answers is None:
        return math.nan, 0.0, 0
    values, starts = (answers.part(task), np.array([0])) if task else (answers.difference, answers.starts())
    if values.shape[1] < 2:
        return math.nan, 0.0, values.shape[1]
    return *item_variance(values, starts), values.shape[1]
