"""Power: the smallest difference that a number of seeds can show, and how many seeds a given difference needs.

Power is that of a two-sided t test, from the noncentral t distribution. The chance of a significant result in the wrong
direction is left out: it is below 0.1 % wherever the power is near 80 %.
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
    """The size of a true difference, in standard errors, that is significant at `alpha` with the chance `power`."""
    # Beyond 1e4 standard errors, which no difference reaches, SciPy 1.14 searches for ever.
    limit = np.minimum(stats.t.isf(np.asarray(alpha) / 2, df), 1e4)
    found: NDArray[np.float64] = special.nctdtrinc(df, 1 - power, limit)
    return found


def detectable_difference(sd: float, seeds: int, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest true difference between two arms with `seeds` runs each that a two-sample t test shows with `power`.

    `sd` is the standard deviation of one arm's score over seeds, in the metric's units, and so is the answer.
    Infinite for one seed or an unknown `sd`, because without knowing the noise no difference can be shown.
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
    """Seeds per arm that show a true difference of the size `effect` with `power`; NaN if MOST_SEEDS are too few.

    With n seeds the difference has the variance seed_variance / n + fixed_variance, all in the metric's units; the
    second part is noise that more seeds do not reduce, as that of the items. The variance is known with
    samples * (n - 1) + more_df degrees of freedom: `samples` is 1 for paired differences and 2 for independent scores,
    and `more_df` are borrowed. Arrays are broadcast; a NaN among the arguments gives NaN. The answer is at least 2.
    """
    effect, varying, fixed, more, alpha = np.broadcast_arrays(effect, seed_variance, fixed_variance, more_df, alpha)

    def shown(n: NDArray[np.float64]) -> NDArray[np.bool_]:
        wanted = noncentrality(np.maximum(samples * (n - 1) + more, 1.0), alpha, power)
        return np.abs(effect) >= wanted * np.sqrt(varying / n + fixed)

    # Bisection, for all elements at once: more seeds always show more.
    low, high = np.ones(effect.shape), np.full(effect.shape, float(MOST_SEEDS))
    possible = shown(high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = shown(np.maximum(middle, 2))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(possible, np.maximum(high, 2), np.nan)


def pooled_spread(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The pooled standard deviation within groups (the scores of an arm over seeds), and its degrees of freedom.

    Groups of one value are left out; NaN and 0 if no group has two.
    """
    some = [group for group in groups if len(group) > 1]
    df = sum(map(len, some)) - len(some)
    squares = sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in some)
    return (math.sqrt(squares / df), df) if df else (math.nan, 0)
