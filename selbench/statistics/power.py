"""Power: the smallest difference that a test shows, and how many seeds a given difference needs.

A difference is shown if its |t| exceeds a limit. The usual formula (noncentral t) takes the standard error as known when it
turns "so many standard errors" into units of the score; from a few seeds it is only estimated, and a true difference
of the stated size would be found less often than it says. Here the chance is an average over that estimate too: of
boards like this one, a new one finds a difference of the size that this one states with the chance `power`.
The chance of a result in the wrong direction is left out: it is below 0.1 % wherever the power is near 80 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]

POWER = 0.8
# More seeds than this are not counted: nobody runs them.
MOST_SEEDS = 30
# Quantiles that stand for the distribution of a standard error.
QUANTILES = 12
# Degrees of freedom, where they are borrowed, differ between boards of one kind by about this share (standard deviation of
# the logarithm; simulated with benchmarks/bench_detectable.py), and with them the limit.
UNSURE = 0.12
LARGE_DF = 1e6
# So many differences are taken at a time, for the sake of memory.
AT_A_TIME = 4096


def chance_to_show(
    effect: ArrayLike, df: ArrayLike, limit: ArrayLike, known_df: ArrayLike | None = None, unsure: float = UNSURE
) -> Floats:
    """The chance that a true difference gets a |t| above `limit` in a new experiment.

    `effect` is its size in estimated standard errors, known with `known_df` degrees of freedom (by default as many as in
    the new experiment, `df`; infinite if they are not estimated). `unsure` is how much `df` may differ there (see UNSURE).
    Arrays are broadcast to one dimension; NaN stays NaN.
    """
    effect, df, limit, known_df = np.broadcast_arrays(
        *np.atleast_1d(effect, df, limit, df if known_df is None else known_df)
    )
    parts = [slice(start, start + AT_A_TIME) for start in range(0, len(df), AT_A_TIME)]
    return np.concatenate(
        [_Chances(df[part], limit[part], known_df[part], unsure).at(effect[part]) for part in parts or [slice(0)]]
    )


def detectable_effect(
    df: ArrayLike,
    limit: ArrayLike,
    known_df: ArrayLike | None = None,
    power: float = POWER,
    unsure: float = UNSURE,
) -> Floats:
    """The size of a true difference, in estimated standard errors, that is shown with the chance `power`.

    The other arguments are those of chance_to_show. NaN if one is NaN. The error is below 0.1 %.
    """
    df, limit, known_df = np.broadcast_arrays(*np.atleast_1d(df, limit, df if known_df is None else known_df))
    parts = [slice(start, start + AT_A_TIME) for start in range(0, len(df), AT_A_TIME)]
    return np.concatenate(
        [_Chances(df[part], limit[part], known_df[part], unsure).size(power) for part in parts or [slice(0)]]
    )


class _Chances:
    """Chances that P differences are shown."""

    def __init__(self, df: Floats, limit: Floats, known_df: Floats, unsure: float) -> None:
        # Far out, a quantile of the t distribution grows as the level to the power of -1 / df: so much does the logarithm
        # of the limit differ where the degrees of freedom do.
        level = np.maximum(2 * stats.t.sf(limit, np.minimum(df, LARGE_DF)), 1e-300)
        differs = -unsure * np.log(level) / df
        self._limit = np.asarray(limit, dtype=float)
        self._estimated = _relative_errors(known_df, np.where(np.isinf(known_df), 0.0, differs))
        self._new = self._limit[:, None] * _relative_errors(df, differs)

    def at(self, effect: Floats) -> Floats:
        here = effect[:, None] * self._estimated
        return np.asarray(special.ndtr(here[:, :, None] - self._new[:, None, :]).mean((1, 2)))

    def size(self, power: float) -> Floats:
        low, high = self._limit.copy(), 2 * self._limit + 1
        while (small := self.at(high) < power).any():
            low, high = np.where(small, high, low), np.where(small, 2 * high, high)
        low = np.where(self.at(low) < power, low, 0.0)
        for _ in range(12):
            middle = (low + high) / 2
            enough = self.at(middle) >= power
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(np.isfinite(self._new.sum(1)), high, np.nan)


def _relative_errors(df: Floats, differs: Floats) -> Floats:
    """P x QUANTILES estimated standard errors of equal chance, as multiples of the true one.

    They are spread wider for what else `differs` (a standard deviation on the logarithmic scale).
    """
    # Below one degree of freedom nothing is stated, and these quantiles would be 0.
    df = np.clip(df, 1.0, LARGE_DF)[:, None]
    at = (np.arange(QUANTILES) + 0.5) / QUANTILES
    logs = np.log(2 * special.gammaincinv(df / 2, at) / df) / 2
    middle = np.log(2 * special.gammaincinv(df / 2, 0.5) / df) / 2
    own = special.polygamma(1, df / 2) / 4
    return np.asarray(np.exp(middle + (logs - middle) * np.sqrt(1 + differs[:, None] ** 2 / own)))


def seeds_needed(
    effect: ArrayLike,
    seed_variance: ArrayLike,
    fixed_variance: ArrayLike,
    seeds: ArrayLike,
    df: ArrayLike,
    level: ArrayLike,
    samples: int = 1,
) -> Floats:
    """Seeds per arm that show a true difference of the size `effect` with the chance POWER; NaN if MOST_SEEDS are too few.

    With n seeds the difference has the variance seed_variance / n + fixed_variance, all in the metric's units; the second
    part is noise that more seeds do not reduce, as that of the items. The variances were estimated from `seeds` seeds with
    `df` degrees of freedom, and every further seed adds `samples` to these: 1 for paired differences, 2 for
    independent scores. `level` is the p value below which a difference is shown. Arrays are broadcast; a NaN among the
    arguments gives NaN. The answer is at least 2.
    """
    effect, varying, fixed, seeds, df, level = np.broadcast_arrays(
        *np.atleast_1d(effect, seed_variance, fixed_variance, seeds, df, level)
    )

    def shown(n: Floats) -> NDArray[np.bool_]:
        then = np.maximum(df + samples * (n - seeds), 1.0)
        limit = stats.t.isf(level / 2, then)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.abs(effect) / np.sqrt(varying / n + fixed)
        return np.asarray(chance_to_show(size, then, limit, df) >= POWER)

    # Bisection, for all elements at once: more seeds always show more.
    low, high = np.ones(effect.shape), np.full(effect.shape, float(MOST_SEEDS))
    possible = shown(high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = shown(np.maximum(middle, 2))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(possible, np.maximum(high, 2), np.nan)
