"""Correction for multiple comparisons: which comparisons form a family, and p values adjusted for its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Correction = Literal["none", "holm-table", "holm", "bh"]
CORRECTIONS: tuple[str, ...] = get_args(Correction)

# What a report says of each correction.
ABOUT = {
    "none": "p values are not corrected for the number of comparisons",
    "holm-table": "p values are corrected by Holm's method within each table (chance of any false verdict in a table), "
    "the arms of its budget as one family, their comparisons with base and full as another",
    "holm": "p values are corrected by Holm's method over the whole board (chance of any false verdict on the board), "
    "arms against the baseline as one family, the other pairs of arms as another, base and full as a third",
    "bh": "p values are corrected after Benjamini and Hochberg over the whole board (share of false ones among the "
    "verdicts), arms against the baseline as one family, the other pairs of arms as another, base and full as a third",
}


@dataclass(frozen=True)
class Adjusted:
    """P values after correction, elementwise."""

    p: NDArray[np.float64]  # adjusted p; NaN if the p value is unknown
    level: NDArray[np.float64]  # below this, the uncorrected p of one more comparison of the family would be a verdict


def family_numbers(
    correction: Correction, table: NDArray[np.int64], primary: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The number of the family of each of P pairs.

    `table` is the number of the pair's table, `primary` whether the pair compares an arm of the table's budget with the
    baseline, `reference` whether one of both is an arm without a budget (base, full).
    """
    if correction == "holm-table":
        return 2 * table + reference
    return np.where(primary, 0, np.where(reference, 2, 1))


def adjust_p_values(
    p: NDArray[np.float64], family: NDArray[np.int64], correction: Correction, alpha: float = 0.05
) -> Adjusted:
    """The p values of P comparisons, corrected within each family at level `alpha`; NaN counts in no family."""
    if correction == "none":
        return Adjusted(p.copy(), np.full(p.shape, alpha))
    adjusted, level = np.full(p.shape, np.nan), np.full(p.shape, alpha)
    for one in np.unique(family):
        here = np.flatnonzero((family == one) & ~np.isnan(p))
        if not len(here):
            continue
        adjusted[here] = false_discovery_control(p[here]) if correction == "bh" else holm_adjusted(p[here])
        found, size = int((adjusted[here] < alpha).sum()), len(here)
        level[family == one] = alpha * max(found, 1) / size if correction == "bh" else alpha / max(size - found, 1)
    return Adjusted(adjusted, level)


def holm_adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values adjusted by Holm's method (1979), none of them NaN.

    SciPy lacks the method. statsmodels has it, but runs the garbage collector at every call: 250 families took 9 s.
    """
    order = np.argsort(p)
    adjusted = np.empty(p.shape)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
