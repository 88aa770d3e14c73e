"""The mean of values that come in clusters: what is known of other clusters like these."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats


def clustered_mean(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float
) -> tuple[float, float, float, float]:
    """Mean, low, high and p with the variance between clusters (Liang and Zeger 1986), t with clusters - 1.

    `clusters` names the cluster of each value. With one cluster only the mean is known, without values nothing: NaN.
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
    half = se * float(stats.t.isf((1 - confidence) / 2, size - 1))
    p = 2 * float(stats.t.sf(abs(mean) / se, size - 1)) if se > 0 else math.nan
    return mean, mean - half, mean + half, p
