"""The overlap of two selections that is expected by chance alone."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.stats import hypergeom


@cache
def expected_jaccard(a: int, b: int, pool: int) -> float:
    """The expected Jaccard index of two random sets of `a` and `b` examples from a pool of `pool` examples.

    Exact: the mean over the hypergeometric distribution of the number of shared examples. NaN for two empty sets,
    whose index is not defined, and for a set larger than the pool.
    """
    if not 0 < max(a, b) <= pool:
        return math.nan
    both = np.arange(max(0, a + b - pool), min(a, b) + 1)
    return float((hypergeom.pmf(both, pool, a, b) * both / (a + b - both)).sum())
