"""The correlation between arms under the same seed, which pairing by seed takes out of a difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The fewest other tables from which a correlation is estimated, and the largest correlation that is assumed.
TABLES, MOST = 3, 0.95


def seed_correlations(scores: Floats, table: NDArray[np.int64]) -> Floats:
    """For each of C cells, the correlation between the arms of its table under one seed, from 0 to MOST.

    `scores` is C x S (cells x seeds, NaN for a missing seed), `table` is C, the number of each cell's table. The
    correlation is estimated from the *other* tables, less one standard error; it is 0 if fewer than TABLES of them
    have a known correlation. The estimate is Kendall's tau between arms over pairs of seeds, turned into the
    correlation of a normal distribution by sin(pi tau / 2): it needs only two seeds, does not depend on the scale of
    the scores, and is robust against outliers. Estimating from other tables and taking off a standard error are ours.
    """
    # For every pair of seeds, whether an arm's score goes up or down from one to the other.
    i, j = np.triu_indices(scores.shape[1], 1)
    found = np.zeros(len(scores))
    tables = np.unique(table)
    tau = np.array([_kendall_tau(np.sign(scores[table == one][:, i] - scores[table == one][:, j])) for one in tables])
    known = np.isfinite(tau)
    for number, one in enumerate(tables):
        others = tau[known & (np.arange(len(tables)) != number)]
        if len(others) >= TABLES:
            sure = others.mean() - others.std(ddof=1) / np.sqrt(len(others))
            found[table == one] = min(np.sin(np.pi / 2 * max(sure, 0.0)), MOST)
    return found


def _kendall_tau(signs: Floats) -> float:
    """The mean tau between the arms of one table; NaN if no two arms share a pair of seeds.

    `signs` is arms x pairs of seeds: +1, 0 or -1 as the arm's score rises, stays or falls, NaN if a seed is missing.
    """
    there = np.isfinite(signs).sum(0)
    pairs = float((there * (there - 1)).sum())
    agree = float((np.nansum(signs, 0) ** 2 - np.nansum(signs**2, 0)).sum())
    return agree / pairs if pairs else float("nan")
