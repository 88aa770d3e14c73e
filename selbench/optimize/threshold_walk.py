"""The threshold walk over vectors: take an item unless it is too similar to one taken before. Exact, in chunks.

This is DEITA's Repr-Filter (arXiv 2312.15685) with the meaning that its code has at batch size 1: a candidate is compared
with the items taken, and with no item that was rejected. The walk over tags is in simscale.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from selbench.errors import UserError
from selbench.optimize.nearest import unit_rows

CHUNK = 512  # candidates that are compared with the taken items in one matrix product
TAKEN = 8192  # taken items in one matrix product
PAIRED = 2000  # items whose pairs give the quantile; of a larger pool as many are drawn


@dataclass(frozen=True, eq=False)
class Walk:
    """The K items that were taken."""

    order: np.ndarray  # K integers: the positions of the items, in the order in which they were taken
    similarity: np.ndarray  # K numbers: the largest cosine of each to an item taken before it; -1 for the first
    walked: int  # how many items were looked at


def walk_apart(
    points: np.ndarray,
    limit: int,
    *,
    order: np.ndarray,
    threshold: float = 0.9,
    costs: np.ndarray | None = None,
) -> Walk:
    """Take items of `order` whose cosine to every taken item is at most the threshold, until the next would exceed the limit.

    Args:
        points: N x d numbers. A zero row has cosine 0 to every other.
        limit: the largest total cost.
        order: the order in which items are walked (positions of the N).
        threshold: from -1 to 1.
        costs: the cost of each item (N integers; ones by default).

    The walk may end with fewer items than the limit allows. Raises UserError for a threshold that is no cosine and for
    points that are not finite.
    """
    if not -1 <= threshold <= 1:
        raise UserError(f"threshold={threshold} is no cosine: it must be from -1 to 1.")
    space = unit_rows(points)
    prices = np.ones(len(space), np.int64) if costs is None else costs
    taken = np.empty((min(len(space), 1024), space.shape[1]))
    picks: list[int] = []
    closest: list[float] = []
    spent = 0
    for start in range(0, len(order), CHUNK):
        candidates = np.asarray(order[start : start + CHUNK], np.int64)
        nearest = _largest_cosines(space[candidates], taken[: len(picks)])
        left = nearest <= threshold
        rows, places, nearest = space[candidates[left]], np.flatnonzero(left), nearest[left]
        among = np.clip(rows @ rows.T, -1, 1)
        for row, place in enumerate(places):
            if nearest[row] > threshold:
                continue
            item = int(candidates[place])
            if spent + prices[item] > limit:
                return Walk(np.array(picks, np.int64), np.array(closest), start + int(place))
            if len(picks) == len(taken):
                taken = np.concatenate([taken, np.empty_like(taken)])
            taken[len(picks)] = rows[row]
            picks.append(item)
            closest.append(float(nearest[row]))
            spent += int(prices[item])
            np.maximum(nearest, among[row], out=nearest)
    return Walk(np.array(picks, np.int64), np.array(closest), len(order))


def cosine_quantile(points: np.ndarray, share: float, rng: np.random.Generator | None = None) -> float:
    """The cosine that the share of all pairs of points (N x d) does not exceed: a threshold for spaces where all are similar.

    Of more than PAIRED points as many are drawn with `rng`. Of one point there is no pair, and 1 is returned. Raises
    UserError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise UserError(f"quantile={share} is no share of the pairs: it must be from 0 to 1.")
    chosen: Iterable[int] = range(len(points))
    if len(points) > PAIRED:
        assert rng is not None
        chosen = np.sort(rng.choice(len(points), PAIRED, replace=False))
    rows = unit_rows(points[np.array(list(chosen))])
    pairs = np.clip(rows @ rows.T, -1, 1)[np.triu_indices(len(rows), 1)]
    return float(np.quantile(pairs, share)) if len(pairs) else 1.0


def _largest_cosines(rows: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The largest cosine of each row to a taken item; -1 while none is taken."""
    largest = np.full(len(rows), -1.0)
    for start in range(0, len(taken), TAKEN):
        np.maximum(largest, (rows @ taken[start : start + TAKEN].T).max(axis=1), out=largest)
    clipped: np.ndarray = np.clip(largest, -1, 1)
    return clipped
