"""Average ranks over blocks (settings or tasks), Friedman's test, and Nemenyi's critical difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


def score_ranks(scores: ArrayLike, higher_is_better: bool) -> Floats:
    """The rank of each score, 1 for the best; equal scores share the mean of their ranks."""
    return stats.rankdata(-np.asarray(scores) if higher_is_better else np.asarray(scores))


def critical_distance(ranks: Floats, confidence: float) -> tuple[float, float]:
    """Nemenyi's critical difference of average ranks, and the p value of Friedman's test (Demsar 2006, section 3.2.2).

    `ranks` is blocks x arms. NaN and NaN with fewer than two blocks or three arms; p is 1 where the ranks are all equal.
    """
    blocks, arms = ranks.shape
    if blocks < 2 or arms < 3:
        return math.nan, math.nan
    # Where the arms of every block share their rank, nothing speaks for a difference; the statistic would be 0 / 0.
    told_apart = bool(np.ptp(ranks, axis=1).any())
    p = float(stats.friedmanchisquare(*ranks.T).pvalue) if told_apart else 1.0
    spread = float(stats.studentized_range.ppf(confidence, arms, np.inf)) / math.sqrt(2)
    return spread * math.sqrt(arms * (arms + 1) / (6 * blocks)), p


def tied_runs(ranks: ArrayLike, distance: float) -> list[tuple[int, int]]:
    """The longest stretches of ascending average `ranks` whose ends differ by less than `distance`.

    Each is (first, one past last), at least two long, and none lies within another.
    """
    ranks = np.asarray(ranks)
    found: list[tuple[int, int]] = []
    reach = 0
    for start in range(len(ranks)):
        end = max(i for i in range(start, len(ranks)) if ranks[i] - ranks[start] < distance)
        if end > start and end + 1 > reach:
            found.append((start, end + 1))
        reach = max(reach, end + 1)
    return found
