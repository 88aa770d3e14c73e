"""How much the choice of test items adds to the noise of a difference, as past runs show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from selbench.statistics.item_noise import item_variance
from selbench.store.item_scores import ItemScores, align_items
from selbench.store.records import Record

# So many arms of so many tables are read, the latest first: the item noise of their differences is much alike.
ARMS = 5
TABLES = 3

# Table -> arm -> seed -> the record
PastRuns = Mapping[str, Mapping[str, Mapping[int, Record]]]


def item_spread(past: PastRuns, suite: str, items: ItemScores) -> float | None:
    """The variance of a difference of two arms' scores from the choice of items: the mean over pairs of past arms.

    In the squared units of the metric. None if no table has two arms with item-level results of the same items whose
    mean is the score.
    """
    found = []
    latest = sorted(past.values(), key=_latest, reverse=True)
    for table in latest:
        arms = sorted(table.values(), key=lambda runs: _latest({"": runs}), reverse=True)[:ARMS]
        found += _pair_variances(arms, suite, items)
        if len(found) >= TABLES * ARMS * (ARMS - 1) // 2:
            break
    return float(np.mean(found)) if found else None


def _latest(table: Mapping[str, Mapping[int, Record]]) -> str:
    return max(record.created for runs in table.values() for record in runs.values())


def _pair_variances(arms: Sequence[Mapping[int, Record]], suite: str, items: ItemScores) -> list[float]:
    """One value for each pair of arms with common seeds; empty if their items differ."""
    by_seed: dict[int, int] = defaultdict(lambda: len(by_seed))
    runs = [{by_seed[seed]: record.key for seed, record in arm.items()} for arm in arms]
    aligned = align_items(items, suite, runs, [False] * len(arms)) if len(arms) > 1 else None
    if aligned is None:
        return []
    found = []
    for a, b in combinations(aligned.values, 2):
        both = np.isfinite(a[:, 0]) & np.isfinite(b[:, 0])
        if both.any():
            found.append(item_variance((a - b)[both], aligned.starts)[0])
    return [value for value in found if np.isfinite(value)]
