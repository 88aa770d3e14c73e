"""Planning: the smallest difference that so many seeds show, and how many seeds show a given one. Needs only SciPy.

Power is that of a two-sided t test, from the noncentral t distribution; the chance to be significant in the wrong
direction, below 0.1 % wherever the power is near 80 %, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

POWER = 0.8
MOST_SEEDS = 10_000


def noncentrality(df: ArrayLike, alpha: ArrayLike = 0.05, power: float = POWER) -> NDArray[np.float64]:
    """How many standard errors a true difference must measure to be found significant at `alpha` with `power`."""
    limit = stats.t.isf(np.asarray(alpha) / 2, df)
    found: NDArray[np.float64] = special.nctdtrinc(df, 1 - power, limit)
    return found


def detectable_difference(sd: float, seeds: int, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference between two arms with `seeds` runs each that a two-sample t test shows with `power`.

    `sd` is the standard deviation of one arm's score over seeds, in the metric's units, and so is the answer.
    Infinite for one seed: nothing can be shown without knowing the noise.
    """
    if seeds < 2 or math.isnan(sd):
        return math.inf
    return float(noncentrality(2 * (seeds - 1), alpha, power) * sd * math.sqrt(2 / seeds))


def seeds_needed(
    effect: ArrayLike,
    seed_variance: ArrayLike,
    fixed_variance: ArrayLike,
    more_df: ArrayLike,
    alpha: ArrayLike = 0.05,
    power: float = POWER,
    samples: int = 1,
) -> NDArray[np.float64]:
    """Seeds per arm with which a true difference as large as `effect` is shown; NaN if MOST_SEEDS are too few.

    The variance of the difference with n seeds is seed_variance / n + fixed_variance (what more seeds do not mend:
    the items); it is known with samples * (n - 1) + more_df degrees of freedom (one sample of paired differences, or
    two of independent scores). Arrays are broadcast; NaN in, NaN out.
    """
    effect, varying, fixed, more, alpha = np.broadcast_arrays(effect, seed_variance, fixed_variance, more_df, alpha)

    def shown(n: NDArray[np.float64]) -> NDArray[np.bool_]:
        wanted = noncentrality(np.maximum(samples * (n - 1) + more, 1.0), alpha, power)
        return np.abs(effect) >= wanted * np.sqrt(varying / n + fixed)

    low, high = np.ones(effect.shape), np.full(effect.shape, float(MOST_SEEDS))
    possible = shown(high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = shown(np.maximum(middle, 2))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(possible, np.maximum(high, 2), np.nan)


def pooled_spread(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups (the scores of an arm over seeds), pooled, and its degrees of freedom.

    Groups of one value say nothing; NaN and 0 where all are.
    """
    some = [group for group in groups if len(group) > 1]
    df = sum(map(len, some)) - len(some)
    squares = sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in some)
    return (math.sqrt(squares / df), df) if df else (math.nan, 0)
