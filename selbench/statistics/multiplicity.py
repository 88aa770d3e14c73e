"""Correction for multiple comparisons: which comparisons form a family, and p values adjusted for its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selbench.statistics.differences import Sides
from selbench.statistics.joint import Comparisons, Noise, agreeing_limits, joint_tests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Correction = Literal["none", "joint", "holm-table", "holm", "bh"]
CORRECTIONS: tuple[str, ...] = get_args(Correction)

# What a report says of each correction; "shaffer" is the joint correction of a test without a joint distribution.
ABOUT = {
    "none": "p values are not corrected for the number of comparisons",
    "joint": "p values are corrected within each table by the joint distribution of its comparisons (chance of any false "
    "verdict in a table), the arms of its budget as one family, their comparisons with base and full as another; "
    "comparisons with the baseline are a little ahead of the others",
    "shaffer": "p values are corrected within each table by Shaffer's method (chance of any false verdict in a table), the arms "
    "of its budget as one family, their comparisons with base and full as another",
    "holm-table": "p values are corrected by Holm's method within each table (chance of any false verdict in a table), "
    "the arms of its budget as one family, their comparisons with base and full as another",
    "holm": "p values are corrected by Holm's method over the whole board (chance of any false verdict on the board), "
    "arms against the baseline as one family, the other pairs of arms as another, base and full as a third",
    "bh": "p values are corrected after Benjamini and Hochberg over the whole board (share of false ones among the "
    "verdicts), arms against the baseline as one family, the other pairs of arms as another, base and full as a third",
}


@dataclass(frozen=True)
class PairTests:
    """The tests of P pairs of arms, before correction, elementwise."""

    a: Ints  # number of the arm's place on the board
    b: Ints
    table: Ints  # number of the table
    primary: NDArray[np.bool_]  # whether the pair compares an arm of the table's budget with the baseline
    reference: NDArray[np.bool_]  # whether one of both is an arm without a budget (base, full)
    statistic: Floats  # |difference| / standard error; NaN if unknown
    df: Floats
    p: Floats  # NaN if unknown
    sides: Sides | None = None  # what either arm adds to the variance; None: not known arm by arm
    items: Floats | None = None  # the part of the variance that comes from items; NaN or None: none


@dataclass(frozen=True)
class Adjusted:
    """P values after correction, elementwise; NaN where the p value is unknown.

    `limit` and `simultaneous`, times the standard error, are half widths of intervals. With the first, an interval excludes 0
    exactly if p is below alpha. With the second, all intervals of a family cover together with the chance 1 - alpha;
    a step-wise test finds more than these (see docs/verdicts.md).
    """

    p: Floats
    limit: Floats
    simultaneous: Floats


def corrected(tests: PairTests, correction: Correction, alpha: float = 0.05) -> Adjusted:
    """The p values of P comparisons, corrected within their families at level `alpha`; NaN counts in no family."""
    family = family_numbers(correction, tests.table, tests.primary, tests.reference)
    if correction == "joint":
        return _jointly_adjusted(tests, family, alpha)
    plain = adjust_p_values(tests.p, family, correction, alpha)
    sizes = np.ones(len(family)) if correction == "none" else _sizes(family, ~np.isnan(tests.p))
    df = np.where(tests.df > 0, tests.df, np.nan)
    limit = stats.t.isf(plain.level / 2, df)
    # Step-wise methods refute the smallest p at other levels than the last: what was found was beyond its limit.
    limit = agreeing_limits(limit, tests.statistic, plain.p < alpha)
    return Adjusted(plain.p, limit, stats.t.isf(alpha / 2 / np.maximum(sizes, 1), df))


def _sizes(family: Ints, known: NDArray[np.bool_]) -> Floats:
    number = np.unique(family, return_inverse=True)[1]
    return np.bincount(number, known).astype(float)[number]


def _jointly_adjusted(tests: PairTests, family: Ints, alpha: float) -> Adjusted:
    adjusted, limit, together = np.full((3, len(tests.p)), np.nan)
    known = ~np.isnan(tests.p)
    for places in np.split(np.argsort(family, kind="stable"), np.flatnonzero(np.diff(np.sort(family))) + 1):
        here = places[known[places]]
        if not len(here):
            continue
        names, numbers = np.unique(np.concatenate([tests.a[here], tests.b[here]]), return_inverse=True)
        a, b = np.split(numbers, 2)
        noise = None if tests.sides is None else _noise_of_arms(tests, tests.sides, here, a, b, len(names))
        of = Comparisons(a, b, tests.statistic[here], tests.df[here], tests.p[here], tests.primary[here])
        found = joint_tests(of, noise, alpha)
        # With about one degree of freedom the draws may be milder than the t distribution: a corrected p value is never below
        # the uncorrected one.
        alone = stats.t.isf(alpha / 2, of.df)
        adjusted[here], together[here] = np.maximum(found.p, of.p), np.maximum(found.simultaneous, alone)
        limit[here] = agreeing_limits(np.maximum(found.limit, alone), of.statistic, adjusted[here] < alpha)
    return Adjusted(adjusted, limit, together)


def _noise_of_arms(tests: PairTests, sides: Sides, here: Ints, a: Ints, b: Ints, size: int) -> Noise:
    """What every arm of a family adds to the variances of its comparisons: means over these."""
    both = np.concatenate([a, b])
    count = np.bincount(both, minlength=size)

    def mean(first: Floats, second: Floats) -> Floats:
        return np.asarray(np.bincount(both, np.concatenate([first, second]), size) / count)

    items = np.zeros(len(here)) if tests.items is None else np.nan_to_num(tests.items[here])
    df = 1 / np.maximum(mean(1 / sides.df_a[here], 1 / sides.df_b[here]), 1e-12)
    return Noise(mean(sides.a[here], sides.b[here]), df, mean(items / 2, items / 2))


def family_numbers(
    correction: Correction, table: Ints, primary: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> Ints:
    """The number of the family of each of P pairs (see PairTests)."""
    if correction in ("joint", "holm-table"):
        return 2 * table + reference
    return np.where(primary, 0, np.where(reference, 2, 1))


@dataclass(frozen=True)
class PlainlyAdjusted:
    """P values after a correction that knows nothing but p values, elementwise."""

    p: Floats  # adjusted; NaN if the p value is unknown
    level: Floats  # below this, the uncorrected p of one more comparison of the family would be a verdict


def adjust_p_values(p: Floats, family: Ints, correction: Correction, alpha: float = 0.05) -> PlainlyAdjusted:
    """The p values of P comparisons, corrected within each family at level `alpha`; NaN counts in no family."""
    if correction == "none":
        return PlainlyAdjusted(p.copy(), np.full(p.shape, alpha))
    adjusted, level = np.full(p.shape, np.nan), np.full(p.shape, alpha)
    for one in np.unique(family):
        here = np.flatnonzero((family == one) & ~np.isnan(p))
        if not len(here):
            continue
        adjusted[here] = stats.false_discovery_control(p[here]) if correction == "bh" else holm_adjusted(p[here])
        found, size = int((adjusted[here] < alpha).sum()), len(here)
        level[family == one] = alpha * max(found, 1) / size if correction == "bh" else alpha / max(size - found, 1)
    return PlainlyAdjusted(adjusted, level)


def holm_adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values adjusted by Holm's method (1979), none of them NaN.

    SciPy lacks the method. statsmodels has it, but runs the garbage collector at every call: 250 families took 9 s.
    """
    order = np.argsort(p)
    adjusted = np.empty(p.shape)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
