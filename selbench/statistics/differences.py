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

from selbench.statistics.agreement import seed_correlations
from selbench.statistics.borrowing import Borrowed, Prior

Test = Literal["moderated", "paired", "welch"]
TESTS: tuple[str, ...] = get_args(Test)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimates:
    """What the scores over seeds say of P differences of arms (or of the mean scores of P arms), elementwise."""

    mean: Floats  # the difference, or the mean score, in the metric's units
    variance: Floats  # the variance of that mean from seeds; NaN if unknown
    df: Floats  # degrees of freedom of the variance; 0 if it is unknown
    seeds: Floats  # how many seeds the mean is over
    prior_df: Floats  # how many of the degrees of freedom are borrowed from other cells


@dataclass(frozen=True)
class Cells:
    """The scores of C cells (an arm in a table) over S seeds, and numbers that are equal for cells that share a part."""

    scores: Floats  # C x S, NaN for a missing seed; a fixed cell has its one score in every column
    fixed: NDArray[np.bool_]  # whether the arm has no seed at all, and so no seed noise (the base model)
    setting: Ints  # number of the setting
    table: Ints  # number of the table
    arm: Ints  # number of the arm
    measure: Ints | None = None  # number of what is measured, in which units; None: the same for all cells

    @property
    def seeds(self) -> Floats:
        """C numbers of seeds; 1 for a fixed cell."""
        return np.where(self.fixed, 1, np.isfinite(self.scores).sum(1)).astype(float)

    def borrowed(self) -> Borrowed:
        """The predictions of seed variances that the moderated test of these cells needs."""
        count = self.seeds
        df = np.where(self.fixed, 0, count - 1)
        measure = np.zeros_like(self.setting) if self.measure is None else self.measure
        return Borrowed(row_variances(self.scores), df, measure, self.setting, self.table, self.arm)


def cell_differences(cells: Cells, a: Ints, b: Ints, test: Test, borrowed: Borrowed | None = None) -> Estimates:
    """The differences a minus b of P pairs of cells; `a` and `b` are P positions in `cells`.

    `test` is one of

    - "welch": the two samples are independent, each with its own variance;
    - "paired": differences under the seeds that both have;
    - "moderated" (needs `borrowed`): as "paired", but the variance is drawn towards the one predicted from the other
      cells (Smyth 2004). Arms that share fewer than two seeds are compared as independent samples, unless one of them
      is fixed, or each has a single seed and it is the same.
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
    own, df = row_variances(paired) / np.maximum(shared, 1), np.maximum(shared - 1, 0)
    apart, apart_df = _welch_variances(cells, a, b)
    own, df = np.where(together, own, apart), np.where(together, df, apart_df)
    seeds = np.where(together, shared, np.minimum(np.where(cells.fixed[a], nb, na), np.where(cells.fixed[b], na, nb)))
    if test == "paired":
        mean = np.where(shared >= 1, mean, np.nan)
    if test != "moderated":
        df = np.where(own > 0, df, 0.0)  # if all differences are equal, they say nothing of the noise
        return Estimates(mean, np.where(df > 0, own, np.nan), df, seeds, np.zeros(len(a)))
    assert borrowed is not None
    # The weights of both seed variances in the variance of the mean: a fixed arm has none.
    at = np.where(cells.fixed[a], 0.0, 1 / np.where(together, shared, na))
    bt = np.where(cells.fixed[b], 0.0, 1 / np.where(together, shared, nb))
    constant = cells.fixed[a] & cells.fixed[b]
    alike = np.where(together, seed_correlations(cells.scores, cells.table)[a], 0.0)
    prior = borrowed.prior_of_pairs(a, b, np.where(constant, 1.0, at), bt, alike)
    return _drawn_to_prior(mean, own, np.where(constant, 0.0, df), seeds, prior, constant)


def cell_means(cells: Cells, test: Test, borrowed: Borrowed | None = None) -> Estimates:
    """The mean score of every cell with its variance over seeds; "moderated" borrows if `borrowed` is given."""
    count = cells.seeds
    mean, own, df = row_means(cells.scores), row_variances(cells.scores) / count, count - 1
    if test == "moderated" and borrowed is not None:
        prior = borrowed.prior_of_cells(np.arange(len(count)))
        return _drawn_to_prior(mean, own, df, count, Prior(prior.s2 / count, prior.df), cells.fixed)
    return Estimates(mean, np.where(cells.fixed | (df > 0), own, np.nan), df, count, np.zeros(len(count)))


def _drawn_to_prior(
    mean: Floats, own: Floats, df: Floats, seeds: Floats, prior: Prior, constant: NDArray[np.bool_]
) -> Estimates:
    """The estimates of the moderated test: each variance drawn towards its prior (Smyth 2004, section 3).

    The mean of both variances, weighted by their degrees of freedom, has the sum of these degrees of freedom.
    `constant` pairs, of two fixed arms, have the variance 0.
    """
    total = df + prior.df
    drawn = (np.where(df > 0, df * own, 0.0) + np.where(prior.df > 0, prior.df * prior.s2, 0.0)) / np.maximum(
        total, 1e-9
    )
    variance = np.where(constant, 0.0, np.where(total > 0, drawn, np.nan))
    return Estimates(mean, variance, np.where(constant, np.inf, total), seeds, prior.df)


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
    """Half the width of t intervals, in the units of `se`; NaN if the noise is unknown (df 0)."""
    known = df > 0
    return np.where(known, se * stats.t.isf((1 - confidence) / 2, np.where(known, df, 1.0)), np.nan)


def row_means(rows: Floats) -> Floats:
    """The mean of each row, NaN left out; NaN for a row without numbers."""
    count = np.isfinite(rows).sum(1)
    return np.divide(np.nansum(rows, 1), count, out=np.full(len(rows), np.nan), where=count > 0)


def row_variances(rows: Floats) -> Floats:
    """The sample variance (n - 1) of each row, NaN left out.

    NaN for fewer than two values; 0 if the values differ by no more than rounding.
    """
    count = np.isfinite(rows).sum(1)
    squares = np.nansum((rows - row_means(rows)[:, None]) ** 2, 1)
    squares = np.where(squares > 1e-20 * np.nansum(rows**2, 1), squares, 0.0)
    return np.divide(squares, count - 1, out=np.full(len(rows), np.nan), where=count > 1)
