"""The spread of an arm over seeds, once what the arms of a table share under a seed is taken away.

Arms of a table that are trained under one seed may share some of its luck (the order of data, say). A difference of two
arms is free of that, and so must be the noise that it is measured by. In a table, score[arm, seed] = arm + seed + rest;
the seed effects are weighted means over the arms, and the squares of what remains, over their degrees of freedom,
estimate the variance of each arm's rest. No correlation has to be estimated, and none is assumed to be the same in
two tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Weights of arms differ at most by this factor (either way from the middle of their table), so that one wrong weight
# cannot make an arm the measure of all others.
WIDEST = 100.0
# Sweeps of the fit where seeds are missing; without missing seeds one sweep is exact.
SWEEPS = 20


def own_spread(scores: Floats, table: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    """The variance of each of C cells without the seed effects of its table, and its degrees of freedom.

    `scores` is C x S, NaN for a missing seed. `weight` is C: how surely a cell tells of the seed effects, the inverse of
    its variance; 0 for a cell that takes no part. A cell alone in its table keeps its whole variance. The variance is
    NaN, and its degrees of freedom 0, for fewer than two seeds. Degrees of freedom are exact if no seed is missing.
    """
    there = np.isfinite(scores)
    count = there.sum(1)
    number = np.unique(table, return_inverse=True)[1]
    weight = _limited_weights(np.where(count > 1, weight, 0.0), number)
    # What a cell weighs in the effect of each seed: 0 where no other cell takes part, so that nothing is taken away.
    parts = np.where(there, weight[:, None], 0.0)
    total = _sums_by_table(parts, number)[number]
    shared = _sums_by_table((parts > 0).astype(float), number)[number] - (parts > 0) > 0
    share = np.divide(parts, total, out=np.zeros_like(parts), where=shared & (total > 0))
    rest = np.where(there, scores, 0.0)
    for _ in range(SWEEPS if (there.any(0) & ~there.all(0)).any() else 1):
        rest = np.where(there, rest - _row_means(rest, there)[:, None], 0.0)
        effect = _sums_by_table(rest * share, number)[number]
        rest = np.where(there & shared, rest - effect, rest)
    rest = np.where(there, rest - _row_means(rest, there)[:, None], 0.0)
    free = np.where(there, 1 - share, 0.0).sum(1) * (1 - 1 / np.maximum(count, 1))
    squares = (rest**2).sum(1)
    known = (count > 1) & (free > 1e-6)
    variance = np.divide(squares, free, out=np.full(len(scores), np.nan), where=known)
    return variance, np.where(known, free, 0.0)


def _limited_weights(weight: Floats, number: NDArray[np.int64]) -> Floats:
    """The weights, none further than WIDEST from the geometric mean of its table's; zeros stay."""
    some = weight > 0
    logs = np.log(np.where(some, weight, 1.0))
    middle = np.bincount(number, logs * some) / np.maximum(np.bincount(number, some), 1)
    return np.where(some, np.exp(np.clip(logs - middle[number], -np.log(WIDEST), np.log(WIDEST))), 0.0)


def _sums_by_table(rows: Floats, number: NDArray[np.int64]) -> Floats:
    found = np.zeros((int(np.max(number, initial=-1)) + 1, rows.shape[1]))
    np.add.at(found, number, rows)
    return found


def _row_means(rows: Floats, there: NDArray[np.bool_]) -> Floats:
    return rows.sum(1) / np.maximum(there.sum(1), 1)
