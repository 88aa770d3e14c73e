"""How far a seed pushes all arms of a table up or down together: the correlation that pairing by seed takes out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Fewer other tables than this say nothing of a correlation; more of it than this is not believed.
TABLES, MOST = 3, 0.95


def seed_correlations(scores: Floats, table: NDArray[np.int64]) -> Floats:
    """For each of C cells (scores C x S, NaN where a seed is missing) the correlation between arms under one seed, as
    the *other* tables show it, less one standard error; 0 where that is below 0 or there are too few.

    Kendall's tau of arms over pairs of seeds, made a correlation by sin(pi tau / 2): it needs two seeds, knows no
    scale, and minds no outlier.
    """
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
    """Mean agreement of the arms (rows) of one table over pairs of seeds (columns); NaN where none can be compared."""
    there = np.isfinite(signs).sum(0)
    pairs = float((there * (there - 1)).sum())
    agree = float((np.nansum(signs, 0) ** 2 - np.nansum(signs**2, 0)).sum())
    return agree / pairs if pairs else float("nan")
