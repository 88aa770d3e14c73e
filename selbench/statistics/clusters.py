"""The mean of values that come in clusters, with an interval about further clusters of the same kind."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float, rows: int = 1
) -> tuple[float, float, float, float]:
    """The mean, the lower and upper end of its interval at `confidence`, and p of a two-sided test against 0.

    The standard error is cluster-robust (Liang and Zeger 1986) with the factor G / (G - 1) for G clusters, and the t
    distribution has G - 1 degrees of freedom. `clusters` gives the cluster of each value. With `rows` above 1, interval and
    p are corrected for so many means (Bonferroni): all their intervals hold together at `confidence`. With one cluster
    only the mean is known, without values nothing; unknown figures are NaN.
    """
    if not len(values):
        return (math.nan,) * 4
    data = np.array(values)
    mean = float(data.mean())
    sums: dict[Hashable, float] = {}
    for cluster, value in zip(clusters, values):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    size = len(sums)
    if size < 2:
        return mean, math.nan, math.nan, math.nan
    se = math.sqrt(size / (size - 1) * sum(part**2 for part in sums.values())) / len(data)
    half = se * float(stats.t.isf((1 - confidence) / 2 / rows, size - 1))
    p = min(rows * 2 * float(stats.t.sf(abs(mean) / se, size - 1)), 1.0) if se > 0 else math.nan
    return mean, mean - half, mean + half, p
