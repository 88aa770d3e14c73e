"""How much the scores of one arm in several tables share: budgets and tasks that rest on one training count once.

If one trained model is scored on several tasks, a lucky seed is lucky on all of them, and the spread of the arm over
seeds is the same finding in all these tables. Two deviations that correlate by r have squares that correlate by
r^2. This module estimates r^2, from the arms of pairs of tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_ARMS = 3  # a pair of tables tells nothing of luck if fewer arms have at least two seeds in both
MOST = 0.95  # the largest squared correlation that is assumed


def shared_luck(scores: Floats, table: Ints, arm: Ints, origin: Ints, training: Ints) -> Floats:
    """C x C: the squared correlation of the deviations of two cells of one arm; 0 for cells of different arms.

    `scores` is C x S, NaN for a missing seed. `origin` is equal for tables of one model, pool and trainer, `training`
    for those of them that can be scored from one trained model (they have one budget). All pairs of tables with one
    `training` have one correlation, the other pairs with one `origin` another, which is no larger; pairs that differ
    in `origin` have none. Each is a mean over pairs of tables, less one standard error.
    """
    signs, there = _rises(scores, table)
    same = (arm[:, None] == arm) & (table[:, None] != table) & (origin[:, None] == origin)
    pairs = there @ there.T
    with np.errstate(invalid="ignore"):
        agree = np.where(same & (pairs > 0), (signs @ signs.T) / np.maximum(pairs, 1), np.nan)
    i, j = np.nonzero(np.isfinite(agree))
    size = int(np.max(table, initial=0)) + 1
    of = table[i] * size + table[j]
    places, of = np.unique(of, return_inverse=True)
    arms = np.bincount(of)
    sums, squares = np.bincount(of, agree[i, j]), np.bincount(of, agree[i, j] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two different arms agree in their sign of agreement only if the tables share luck. Taking away the seed effect
        # makes the arms of a table differ from each other by a little, which is `chance`.
        together = (sums**2 - squares) / (arms * (arms - 1))
        chance = (2 / np.pi * np.arcsin(1 / (arms - 1.0))) ** 2
        together = (together - chance) / (1 - chance)
    enough = arms >= FEWEST_ARMS
    first = np.zeros(size, dtype=np.int64)
    first[table] = training
    one = first[places // size] == first[places % size]
    close = _squared_correlation(together[enough & one], arms[enough & one])
    far = _squared_correlation(together[enough & ~one], arms[enough & ~one])
    if (enough & one).any():
        far = min(far, close)
    return np.where(same, np.where(training[:, None] == training, close, far), 0.0)


def _squared_correlation(together: Floats, arms: Ints) -> float:
    """From squared agreements of pairs of tables (each pair counted twice) to one squared correlation, from 0 to MOST."""
    if not len(together):
        return 0.0
    weight = arms * (arms - 1.0)
    mean = float(together @ weight / weight.sum()) - 1 / float(np.sqrt(weight.sum()))
    return min(float(np.sin(np.pi / 2 * np.sqrt(max(mean, 0.0)))) ** 2, MOST)


def _rises(scores: Floats, table: Ints) -> tuple[Floats, Floats]:
    """For each cell and pair of seeds: whether the score rises or falls (+1, -1, 0 if unknown) beside its table's mean.

    Second comes whether it is known.
    """
    i, j = np.triu_indices(scores.shape[1], 1)
    change = scores[:, i] - scores[:, j]
    there = np.isfinite(change)
    change = np.where(there, change, 0.0)
    number = np.unique(table, return_inverse=True)[1]
    sums = np.zeros((int(np.max(number, initial=-1)) + 1, change.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, number, change)
    np.add.at(counts, number, there.astype(float))
    beside = change - (sums / np.maximum(counts, 1))[number]
    signs = np.where(there & (counts[number] > 1), np.sign(beside), 0.0)
    return signs, (signs != 0).astype(float)
