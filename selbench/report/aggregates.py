"""One row per arm over many tables: mean differences, average ranks, critical differences, areas, verdict counts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selbench.report.board import Aggregate, ArmRow, Critical, Table
from selbench.statistics.clusters import clustered_mean
from selbench.statistics.ranks import critical_distance, score_ranks, tied_runs

RANDOM, FULL = "random", "full"


def arm_aggregates(
    tables: Sequence[Table], blocks: Sequence[Table], baseline: str, confidence: float
) -> tuple[Aggregate, ...]:
    """One Aggregate per arm, the best average rank first.

    Mean differences and average ranks come from `blocks`, the tables by task; counts of verdicts come from `tables`.
    The interval of a mean difference is about other tasks and models like these: tables that differ only in budget are
    one cluster, and the interval needs two clusters. There is one by itself, and one that holds for all arms together.
    Mean differences are NaN if the tables have different metrics, whose units cannot be averaged.
    """
    comparable = len({(table.setting["metric"], table.higher_is_better) for table in blocks}) == 1
    ranks = _ranks_by_arm(blocks)
    arms = dict.fromkeys(row.arm for table in tables for row in table.rows)
    means = {arm: _baseline_differences(arm, blocks) for arm in arms} if comparable else {}
    # An interval needs two settings or tasks: so many arms have one.
    several = sum(len({setting for setting, _ in values}) > 1 for values in means.values())
    found = [
        _arm_aggregate(
            arm,
            tables,
            means.get(arm, []),
            baseline,
            confidence,
            float(np.mean(ranks.get(arm, [math.nan]))),
            max(several, 1),
        )
        for arm in arms
    ]
    if not comparable:
        found = [dataclasses.replace(one, budget_area=math.nan) for one in found]
    return tuple(sorted(found, key=lambda one: (math.isnan(one.average_rank), one.average_rank)))


def _arm_aggregate(
    arm: str,
    tables: Sequence[Table],
    differences: Sequence[tuple[str, float]],
    baseline: str,
    confidence: float,
    rank: float,
    several: int,
) -> Aggregate:
    """One row; `differences` are (setting, difference to the baseline), and `several` arms have an interval."""
    rows = [(table, row) for table in tables for row in table.rows if row.arm == arm]
    settings, values = [setting for setting, _ in differences], [value for _, value in differences]
    mean, low, high, p = clustered_mean(values, settings, confidence)
    _, low_together, high_together, adjusted = clustered_mean(values, settings, confidence, several)
    relative = [row.relative_to_full for _, row in rows if not math.isnan(row.relative_to_full)]
    return Aggregate(
        selector=arm,
        tables=len(rows),
        average_rank=rank,
        mean_difference=mean,
        low=low,
        high=high,
        low_simultaneous=low_together,
        high_simultaneous=high_together,
        p=p,
        p_adjusted=adjusted,
        clusters=len(set(settings)),
        wins_baseline=_verdict_tally(arm, tables, baseline),
        wins_random=_verdict_tally(arm, tables, RANDOM),
        wins_full=_verdict_tally(arm, tables, FULL),
        relative_to_full=float(np.mean(relative)) if relative else math.nan,
        budget_area=_budget_area(rows),
    )


def _baseline_differences(arm: str, blocks: Sequence[Table]) -> list[tuple[str, float]]:
    """(setting, difference to the baseline) for the blocks in which the arm has one."""
    return [
        (_setting_key(table), row.vs_baseline.mean)
        for table in blocks
        for row in table.rows
        if row.arm == arm and row.vs_baseline and not math.isnan(row.vs_baseline.mean)
    ]


def _verdict_tally(arm: str, tables: Sequence[Table], against: str) -> tuple[int, int, int]:
    """In how many tables `arm` is better than, tied with and worse than the arm `against` (case is ignored)."""
    found = {"better": 0, "tied": 0, "worse": 0}
    for pair in (pair for table in tables for pair in table.pairs):
        if pair.a == arm and pair.b.lower() == against.lower():
            found[pair.verdict] += 1
        elif pair.b == arm and pair.a.lower() == against.lower():
            found[pair.turned().verdict] += 1
    return found["better"], found["tied"], found["worse"]


def _budget_area(rows: Sequence[tuple[Table, ArmRow]]) -> float:
    """The mean score over log budget, by the trapezoidal rule, averaged over settings; NaN with a single budget."""
    curves: dict[str, dict[float, float]] = {}
    for table, row in rows:
        if not row.reference and row.amount > 0:
            curves.setdefault(_setting_key(table), {})[row.amount] = row.score
    heights = []
    for curve in curves.values():
        if len(curve) > 1:
            x = np.log(sorted(curve))
            heights.append(np.trapezoid([curve[amount] for amount in sorted(curve)], x) / (x[-1] - x[0]))
    return float(np.mean(heights)) if heights else math.nan


def critical_ranks(blocks: Sequence[Table], confidence: float) -> Critical:
    """Friedman's test and Nemenyi's critical difference over settings (Demsar 2006, section 3.2.2).

    `blocks` are the tables by task. The ranks of a setting (and task) are averaged over its budgets first, because the
    budgets of one setting are not independent. Only arms that more than half of the tables have are ranked, and only
    tables that have all of these arms count.
    """
    named = [(_setting_key(table), _table_ranks(table)) for table in blocks]
    often: dict[str, int] = {}
    for _, ranks in named:
        for arm in ranks:
            often[arm] = often.get(arm, 0) + 1
    arms = [arm for arm, count in often.items() if 2 * count > len(named)]
    complete = [(setting, ranks) for setting, ranks in named if all(arm in ranks for arm in arms)]
    if len(arms) < 2 or not complete:
        return Critical()
    # The arms that are left out leave gaps in the ranks, so the others are ranked again.
    rows: dict[str, list[NDArray[np.float64]]] = {}
    for setting, ranks in complete:
        rows.setdefault(setting, []).append(score_ranks([ranks[arm] for arm in arms], higher_is_better=False))
    matrix = np.array([np.mean(part, axis=0) for part in rows.values()])
    mean = matrix.mean(0)
    order = np.argsort(mean, kind="stable")
    found = {arms[i]: float(mean[i]) for i in order}
    distance, p = critical_distance(matrix, confidence)
    names = list(found)
    groups = () if math.isnan(distance) else tied_runs(list(found.values()), distance)
    return Critical(
        ranks=found,
        groups=tuple(tuple(names[first:end]) for first, end in groups),
        distance=distance,
        p=p,
        tables=len(matrix),
    )


def _ranks_by_arm(tables: Sequence[Table]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for table in tables:
        for arm, rank in _table_ranks(table).items():
            found.setdefault(arm, []).append(rank)
    return found


def _table_ranks(table: Table) -> dict[str, float]:
    """The rank of each arm of the table's budget by its score; equal scores share the mean of their ranks."""
    rows = [row for row in table.rows if not row.reference and not math.isnan(row.score)]
    ranks = score_ranks([row.score for row in rows], table.higher_is_better)
    return {row.arm: float(rank) for row, rank in zip(rows, ranks)}


def _setting_key(table: Table) -> str:
    return json.dumps(table.setting, sort_keys=True, default=str)
