"""Differences between arms over seeds: mean, standard error, p value and interval, by three tests.

A verdict is about other seeds and, if item-level results are known, also about other items of the same tasks. Let
d[s, i] be the difference of two arms under seed s on item i, and

    d[s, i] = difference + seed[s] + item[i] + rest[s, i].

The mean over n seeds and m items then has the variance var(seed)/n + var(item)/m + var(rest)/(n m). This module
estimates var(seed)/n + var(rest)/(n m), by the variance of the per-seed means divided by n: it is the whole variance
if the items are held fixed. Other items add var(item)/m, which `item_noise.item_variance` estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selbench.statistics.cells import Cells, row_means, row_variances
from selbench.statistics.seed_noise import SeedNoise

Test = Literal["moderated", "paired", "welch"]
TESTS: tuple[str, ...] = get_args(Test)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sides:
    """What either arm of P differences adds to their variance, elementwise; the arms of a table are independent."""

    a: Floats  # variance of arm a's part
    b: Floats  # variance of arm b's part
    df_a: Floats  # degrees of freedom of `a`; infinite for a fixed arm
    df_b: Floats  # degrees of freedom of `b`


@dataclass(frozen=True)
class Estimates:
    """What the scores over seeds say of P differences of arms (or of the mean scores of P arms), elementwise."""

    mean: Floats  # the difference, or the mean score, in the metric's units
    variance: Floats  # the variance of that mean from seeds; NaN if unknown
    df: Floats  # degrees of freedom of the variance; 0 if it is unknown
    seeds: Floats  # how many seeds the mean is over
    prior_df: Floats  # how many of the degrees of freedom are borrowed from other cells
    sides: Sides | None = None  # of the moderated test of differences


def cell_differences(cells: Cells, a: Ints, b: Ints, test: Test, borrowed: SeedNoise | None = None) -> Estimates:
    """The differences a minus b of P pairs of cells; `a` and `b` are P positions in `cells`.

    `test` is one of

    - "welch": the two samples are independent, each with its own variance;
    - "paired": differences under the seeds that both have;
    - "moderated" (needs `borrowed`): as "welch", but the variance of each arm is free of the seed effects of its table,
      and drawn towards the one predicted from the other cells (Smyth 2004). The mean is over the seeds that both have.
      Arms that share fewer than two seeds, or stand in different tables, are compared with their whole variances.
    """
    # `together`: which pairs are compared seed by seed; `shared`: under how many seeds.
    x, y = cells.scores[a], cells.scores[b]
    both = np.isfinite(x) & np.isfinite(y)
    shared = both.sum(1).astype(float)
    na, nb = cells.seeds[a], cells.seeds[b]
    fixed = cells.fixed[a] | cells.fixed[b]
    shared = np.where(cells.fixed[a] & cells.fixed[b], 1, shared)
    together = (shared >= 2) | fixed | ((na == 1) & (nb == 1) & (shared == 1))
    if test == "paired":
        together = shared >= 1
    elif test == "welch":
        together = np.zeros(len(a), dtype=bool)

    paired = np.where(both, x - y, np.nan)
    mean = np.where(together, row_means(paired), row_means(x) - row_means(y))
    seeds = np.where(together, shared, np.minimum(np.where(cells.fixed[a], nb, na), np.where(cells.fixed[b], na, nb)))
    if test == "moderated":
        assert borrowed is not None
        within = together & ~fixed & (cells.table[a] == cells.table[b])
        counts = np.where(together, shared, na), np.where(together, shared, nb)
        return _moderated(cells, borrowed, a, b, mean, seeds, counts, within)
    own, df = row_variances(paired) / np.maximum(shared, 1), np.maximum(shared - 1, 0)
    apart, apart_df = _welch_variances(cells, a, b)
    own, df = np.where(together, own, apart), np.where(together, df, apart_df)
    if test == "paired":
        mean = np.where(shared >= 1, mean, np.nan)
    df = np.where(own > 0, df, 0.0)  # if all differences are equal, they say nothing of the noise
    return Estimates(mean, np.where(df > 0, own, np.nan), df, seeds, np.zeros(len(a)))


def cell_means(cells: Cells, test: Test, borrowed: SeedNoise | None = None) -> Estimates:
    """The mean score of every cell with its variance over seeds; "moderated" borrows if `borrowed` is given."""
    count = cells.seeds
    mean, own, df = row_means(cells.scores), row_variances(cells.scores) / count, count - 1
    if test == "moderated" and borrowed is not None:
        variance, total, prior_df = borrowed.of_cells()
        variance = np.where(cells.fixed, 0.0, variance / count)
        return Estimates(mean, variance, np.where(cells.fixed, np.inf, total), count, prior_df)
    return Estimates(mean, np.where(cells.fixed | (df > 0), own, np.nan), df, count, np.zeros(len(count)))


def _moderated(
    cells: Cells,
    borrowed: SeedNoise,
    a: Ints,
    b: Ints,
    mean: Floats,
    seeds: Floats,
    counts: tuple[Floats, Floats],
    within: NDArray[np.bool_],
) -> Estimates:
    """The estimates of the moderated test: the sum of both arms' variances, each drawn towards its prior.

    The degrees of freedom of the sum are Satterthwaite's; what both priors share makes them fewer. Two constant
    arms of a task without any noise get no verdict.
    """
    found = borrowed.of_pairs(a, b, within)
    va = np.where(cells.fixed[a], 0.0, found.a / counts[0])
    vb = np.where(cells.fixed[b], 0.0, found.b / counts[1])
    fa, fb = np.where(cells.fixed[a], np.inf, found.df_a), np.where(cells.fixed[b], np.inf, found.df_b)
    known = (fa > 0) & (fb > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = va + vb
        both = np.where(cells.fixed[a] | cells.fixed[b], 0.0, 2 * va * vb * np.maximum(found.shared, 0.0))
        df = 2 * total**2 / (2 * va**2 / fa + 2 * vb**2 / fb + both)
        prior_df = np.where(va + vb > 0, (va * found.prior_a + vb * found.prior_b) / total, 0.0)
    fixed = cells.fixed[a] & cells.fixed[b]
    variance = np.where(fixed, 0.0, np.where(known, total, np.nan))
    df = np.where(fixed, np.inf, np.where(known, np.nan_to_num(df), 0.0))
    return Estimates(mean, variance, df, seeds, np.where(known, prior_df, 0.0), Sides(va, vb, fa, fb))


def _welch_variances(cells: Cells, a: Ints, b: Ints) -> tuple[Floats, Floats]:
    """The variance of the difference of independent means, and its degrees of freedom after Satterthwaite.

    NaN and 0 if one of both arms has a single seed.
    """
    parts, freedom = [], []
    for one in (a, b):
        count = cells.seeds[one]
        parts.append(np.where(cells.fixed[one], 0.0, row_variances(cells.scores[one]) / count))
        freedom.append(np.where(cells.fixed[one], np.inf, count - 1.0))
    total, df = satterthwaite(parts[0], freedom[0], parts[1], freedom[1])
    known = (freedom[0] > 0) & (freedom[1] > 0) & np.isfinite(df)
    return np.where(known, total, np.nan), np.where(known, df, 0.0)


def satterthwaite(v1: Floats, df1: Floats, v2: Floats, df2: Floats) -> tuple[Floats, Floats]:
    """The sum of two independent variance estimates, and its degrees of freedom (Satterthwaite 1946)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = v1 + v2
        parts = [np.where(v > 0, (v / total) ** 2 / df, 0.0) for v, df in ((v1, df1), (v2, df2))]
        return total, 1 / (parts[0] + parts[1])


def p_values(mean: Floats, se: Floats, df: Floats) -> Floats:
    """Two-sided p values of t tests; NaN if the noise is unknown (df 0) or the standard error is 0."""
    known = (df > 0) & (se > 0)
    statistic = np.divide(np.abs(mean), se, out=np.full(len(mean), np.nan), where=known)
    return np.where(known, 2 * stats.t.sf(statistic, np.where(known, df, 1.0)), np.nan)


def half_width(se: Floats, df: Floats, confidence: float) -> Floats:
    """Half the width of t intervals, in the units of `se`; NaN if the noise is unknown.

    Below half a degree of freedom it is as good as unknown: the quantile is in the thousands and grows beyond all numbers.
    """
    known = df >= 0.5
    return np.where(known, se * stats.t.isf((1 - confidence) / 2, np.where(known, df, 1.0)), np.nan)
