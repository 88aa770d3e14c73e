"""Score differences of two sides with their noise from seeds and items, and the items that changed.

The statistics are those of the leaderboard (selbench.statistics).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selbench.comparison.sides import Side
from selbench.statistics import differences
from selbench.statistics.cells import Cells
from selbench.statistics.item_noise import item_variance
from selbench.statistics.seed_noise import SeedNoise
from selbench.store.item_scores import ItemScores

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreDifference:
    """The scores of both sides on a suite or on one of its tasks, in the metric's units.

    Interval, p and standard errors are NaN if nothing is known of the noise.
    """

    suite: str
    task: str  # empty for the mean over the suite's tasks
    metric: str
    higher_is_better: bool
    a: float  # mean over seeds, as measured
    b: float  # mean over seeds, as measured
    mean: float  # the difference, above 0 if a is better
    low: float = math.nan  # lower end of its 95 % interval
    high: float = math.nan  # its upper end
    p: float = math.nan  # uncorrected
    se: float = math.nan  # standard error of `mean`
    se_seed: float = math.nan  # its part from other seeds
    se_item: float = math.nan  # its part from other items
    seeds: int = 1
    items: int = 0  # how many items both sides answered


@dataclass(frozen=True)
class Changes:
    """How many answers to the items of a suite differ; an answer is a pair of a seed and an item."""

    suite: str
    binary: bool  # whether all values are 0 or 1
    answers: int  # all pairs of a seed and an item
    changed: int  # those on which the sides differ
    only_a: int = 0  # those that a alone got right; 0 if not binary
    only_b: int = 0  # those that b alone got right; 0 if not binary
    left_out: int = 0  # items that one side only answered


@dataclass(frozen=True)
class Answers:
    """The values of the items of a suite that all runs of both sides answered."""

    suite: str
    index: Any  # pandas index of (task, item), sorted
    a: Floats  # seeds x items
    b: Floats  # seeds x items
    sign: int  # 1 if higher is better, else -1
    left_out: int  # items that some runs only answered

    @classmethod
    def of(cls, suite: str, a: Side, b: Side, items: ItemScores) -> Answers | None:
        """The answers of both sides; None if a run lacks item-level results, or if no item is common to all runs."""
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
        """The differences: seeds x items, above 0 if a is better."""
        return self.sign * (self.a - self.b)

    def starts(self) -> NDArray[np.int64]:
        """Where each task's items begin."""
        tasks = self.index.get_level_values("task")
        return np.flatnonzero(np.concatenate([[True], tasks[1:] != tasks[:-1]]))

    def part(self, task: str) -> Floats:
        """The differences of one task's items: seeds x items."""
        return self.difference[:, np.asarray(self.index.get_level_values("task") == task)]

    def changes(self) -> Changes:
        """The counts of answers that differ."""
        both = np.concatenate([self.a.ravel(), self.b.ravel()])
        binary = bool(np.isin(both, (0.0, 1.0)).all())
        gap = self.difference
        one, other = (int((gap > 0).sum()), int((gap < 0).sum())) if binary else (0, 0)
        return Changes(self.suite, binary, gap.size, int((gap != 0).sum()), one, other, self.left_out)

    def table(self) -> pd.DataFrame:
        """One row per item: suite, task, item, and the means over seeds of a, b and their difference."""
        import pandas as pd

        columns = {"a": self.a.mean(0), "b": self.b.mean(0), "difference": self.difference.mean(0)}
        return pd.DataFrame(columns, self.index).reset_index().assign(suite=self.suite)


def score_differences(suite: str, a: Side, b: Side, answers: Answers | None) -> list[ScoreDifference]:
    """The difference on the suite, then, if it has several, on each task; tasks that a run lacks are left out.

    That of the suite is then over the tasks that all runs have, and there is none if they have none in common.
    """
    common = common_tasks(suite, a, b)
    first = [row for row in a.records[0].headlines(suite) if row.task in common]
    if not first:
        return []
    metrics = {row.task: row.metric for row in first}
    together = first[0].metric if len(set(metrics.values())) == 1 else "mean"
    sign = 1 if first[0].higher_is_better else -1
    counted = {task: [task] if task else sorted(common) for task in ["", *sorted(metrics)]}
    found = {
        task: (_scores_by_seed(a, suite, tasks), _scores_by_seed(b, suite, tasks)) for task, tasks in counted.items()
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
    every = {row.task for side in (a, b) for record in side.records for row in record.headlines(suite)}
    return rows if len(every) > 1 else rows[:1]


def common_tasks(suite: str, a: Side, b: Side) -> set[str]:
    """The headline tasks of a suite that every run of both sides has a score of."""
    return set.intersection(
        *({row.task for row in record.headlines(suite)} for side in (a, b) for record in side.records)
    )


def _scores_by_seed(side: Side, suite: str, tasks: Collection[str]) -> Floats:
    """The side's score under each seed, averaged over these tasks; NaN if missing."""
    found = []
    for record in side.records:
        rows = [row.value for row in record.headlines(suite) if row.task in tasks]
        found.append(float(np.mean(rows)) if rows else math.nan)
    return np.asarray(found)


def _noise_by_task(
    metrics: Mapping[str, str],
    values: Mapping[str, tuple[Floats, Floats]],
    fixed: Sequence[bool],
    answers: Answers | None,
    sign: int,
) -> dict[str, dict[str, Any]]:
    """Task -> the fields of its ScoreDifference that depend on the noise.

    `metrics` (task -> metric) names the tasks; they borrow from each other in the estimate of the noise of seeds.
    `fixed` says of either side whether its arm has no seed.
    """
    tasks = list(metrics)
    count = len(tasks)
    if not count:
        return {}
    alike = sorted(set(metrics.values()))
    cells = Cells(
        scores=np.concatenate([np.stack(values[task]) for task in tasks]),
        fixed=np.tile(fixed, count),
        setting=np.repeat(np.arange(count), 2),
        table=np.repeat(np.arange(count), 2),
        arm=np.tile([0, 1], count),
        measure=np.repeat([alike.index(metrics[task]) for task in tasks], 2),
    )
    # Row 2 i of the cells is side a of task i, row 2 i + 1 is side b.
    upper = 2 * np.arange(count)
    found = differences.cell_differences(cells, upper, upper + 1, "moderated", SeedNoise(cells))
    items = [_item_noise(answers, task) for task in tasks]
    item = np.array([variance for variance, _, _ in items])
    item_df = np.array([df for _, df, _ in items])
    by_seed, by_item = found.df > 0, np.isfinite(item)
    # A part that is unknown adds no variance here; the notes of the comparison say what the interval leaves out.
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
    """The variance that the choice of items adds to a difference, its degrees of freedom, and the number of items."""
    if answers is None:
        return math.nan, 0.0, 0
    values, starts = (answers.part(task), np.array([0])) if task else (answers.difference, answers.starts())
    if values.shape[1] < 2:
        return math.nan, 0.0, values.shape[1]
    return *item_variance(values, starts), values.shape[1]
