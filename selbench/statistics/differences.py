"""Differences between arms: mean, standard error from seeds and items, p and interval, for three tests.

Which population a verdict is about: other seeds, and, where item-level results are known, also other items of the
same tasks. With d[s, i] the difference of two arms under seed s on item i,

    d[s, i] = difference + seed[s] + item[i] + rest[s, i],

the mean over n seeds and m items has the variance var(seed)/n + var(item)/m + var(rest)/(n m). The variance of the
per-seed means over n is an estimate of var(seed)/n + var(rest)/(n m): `seed` below, all there is where the items are
held fixed. What other items would add is var(item)/m alone: `item_noise.item_variance`.
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
    """Elementwise for P pairs (or arms): the difference, the variance of that mean from seeds, and its degrees of
    freedom. `seeds` is how many the mean is over; `prior_df` of `df` are borrowed."""

    mean: Floats
    variance: Floats
    df: Floats
    seeds: Floats
    prior_df: Floats


@dataclass(frozen=True)
class Cells:
    """C arms of tables: `scores` is C x S, NaN where an arm lacks a seed. `fixed` arms have no seed at all: their one
    score stands in every column and has no seed noise. The numbers say what cells share (see borrowing)."""

    scores: Floats
    fixed: NDArray[np.bool_]
    setting: Ints
    table: Ints
    arm: Ints
    measure: Ints | None = None  # all the same

    @property
    def seeds(self) -> Floats:
        return np.where(self.fixed, 1, np.isfinite(self.scores).sum(1)).astype(float)

    def borrowed(self) -> Borrowed:
        count = self.seeds
        df = np.where(self.fixed, 0, count - 1)
        measure = np.zeros_like(self.setting) if self.measure is None else self.measure
        return Borrowed(row_variances(self.scores), df, measure, self.setting, self.table, self.arm)


def cell_differences(cells: Cells, a: Ints, b: Ints, test: Test, borrowed: Borrowed | None = None) -> Estimates:
    """a minus b for P pairs of cells, in the metric's units.

    "welch": two independent samples, each with its own variance. "paired": differences of the seeds that both have.
    "moderated" (needs `borrowed`): as paired, the variance drawn towards what other cells say. Arms that share fewer
    than two seeds are compared as independent samples by the last. df is 0 and variance NaN where nothing is known.
    """
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
        df = np.where(own > 0, df, 0.0)  # equal scores throughout: the noise cannot be known from them
        return Estimates(mean, np.where(df > 0, own, np.nan), df, seeds, np.zeros(len(a)))
    assert borrowed is not None
    at = np.where(cells.fixed[a], 0.0, 1 / np.where(together, shared, na))
    bt = np.where(cells.fixed[b], 0.0, 1 / np.where(together, shared, nb))
    constant = cells.fixed[a] & cells.fixed[b]
    alike = np.where(together, seed_correlations(cells.scores, cells.table)[a], 0.0)
    prior = borrowed.prior_of_pairs(a, b, np.where(constant, 1.0, at), bt, alike)
    return _drawn_to_prior(mean, own, np.where(constant, 0.0, df), seeds, prior, constant)


def cell_means(cells: Cells, test: Test, borrowed: Borrowed | None = None) -> Estimates:
    """The mean score of every cell, in the metric's units, with its variance over seeds."""
    count = cells.seeds
    mean, own, df = row_means(cells.scores), row_variances(cells.scores) / count, count - 1
    if test == "moderated" and borrowed is not None:
        prior = borrowed.prior_of_cells(np.arange(len(count)))
        return _drawn_to_prior(mean, own, df, count, Prior(prior.s2 / count, prior.df), cells.fixed)
    return Estimates(mean, np.where(cells.fixed | (df > 0), own, np.nan), df, count, np.zeros(len(count)))


def _drawn_to_prior(
    mean: Floats, own: Floats, df: Floats, seeds: Floats, prior: Prior, constant: NDArray[np.bool_]
) -> Estimates:
    """Smyth 2004, section 3: the weighted mean of both variances has the sum of their degrees of freedom."""
    total = df + prior.df
    drawn = (np.where(df > 0, df * own, 0.0) + np.where(prior.df > 0, prior.df * prior.s2, 0.0)) / np.maximum(
        total, 1e-9
    )
    variance = np.where(constant, 0.0, np.where(total > 0, drawn, np.nan))
    return Estimates(mean, variance, np.where(constant, np.inf, total), seeds, prior.df)


def _welch_variances(cells: Cells, a: Ints, b: Ints) -> tuple[Floats, Floats]:
    """The variance of the difference of independent means, and its degrees of freedom after Satterthwaite; 0 where one
    arm has a single seed."""
    parts, freedom = [], []
    for one in (a, b):
        count = cells.seeds[one]
        parts.append(np.where(cells.fixed[one], 0.0, row_variances(cells.scores[one]) / count))
        freedom.append(np.where(cells.fixed[one], np.inf, count - 1.0))
    total, df = satterthwaite(parts[0], freedom[0], parts[1], freedom[1])
    known = (freedom[0] > 0) & (freedom[1] > 0) & np.isfinite(df)
    return np.where(known, total, np.nan), np.where(known, df, 0.0)


def satterthwaite(v1: Floats, df1: Floats, v2: Floats, df2: Floats) -> tuple[Floats, Floats]:
    """The sum of two independent variances, and the degrees of freedom that it is worth."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = v1 + v2
        parts = [np.where(v > 0, (v / total) ** 2 / df, 0.0) for v, df in ((v1, df1), (v2, df2))]
        return total, 1 / (parts[0] + parts[1])


def p_values(mean: Floats, se: Floats, df: Floats) -> Floats:
    """Two-sided; NaN where the noise is unknown or none was seen."""
    known = (df > 0) & (se > 0)
    statistic = np.divide(np.abs(mean), se, out=np.full(len(mean), np.nan), where=known)
    return np.where(known, 2 * stats.t.sf(statistic, np.where(known, df, 1.0)), np.nan)


def half_width(se: Floats, df: Floats, confidence: float) -> Floats:
    known = df > 0
    return np.where(known, se * stats.t.isf((1 - confidence) / 2, np.where(known, df, 1.0)), np.nan)


def row_means(rows: Floats) -> Floats:
    """Row means without NaN; NaN for an empty row."""
    count = np.isfinite(rows).sum(1)
    return np.divide(np.nansum(rows, 1), count, out=np.full(len(rows), np.nan), where=count > 0)


def row_variances(rows: Floats) -> Floats:
    """Row variances (n - 1) without NaN; NaN where there are fewer than two values, 0 where they differ by rounding."""
    count = np.isfinite(rows).sum(1)
    squares = np.nansum((rows - row_means(rows)[:, None]) ** 2, 1)
    squares = np.where(squares > 1e-20 * np.nansum(rows**2, 1), squares, 0.0)
    return np.divide(squares, count - 1, out=np.full(len(rows), np.nan), where=count > 1)
