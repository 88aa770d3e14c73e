"""Facility location: always the item that makes the pool most similar to its nearest picked item. Exact, lazy, compiled.

The objective is F(S) = sum over items v of max over s in S of sim(v, s), with similarities of at least 0. F is monotone and
submodular, so an old gain is an upper bound, and an item needs to be evaluated again only when its bound is the largest
(the lazy greedy of Minoux 1978). The picks are those of the plain greedy; their F is at least 1 - 1/e of the optimum.

Similarities are computed in float64 and stored as integers, in steps of 2^-20. Sums of integers are equal in any order:
neither the order of the pool nor the number of threads changes a pick through rounding, and ties are ties.

Small pools hold all N x N similarities. For large ones an item is similar only to its nearest neighbours, which FAISS finds
(nearest.py), and has similarity 0 to all others: another objective, near the first if the neighbours are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown
from selbench.optimize.nearest import Index, finite_rows, nearest_neighbours, unit_rows

Similarity = Literal["cosine", "euclidean"]
SIMILARITIES = get_args(Similarity)
DENSE = 16_384  # largest pool whose N x N similarities are held: 1.1 GB
NEIGHBOURS = 256  # of each item of a larger pool
CHUNK = 1024  # rows of similarities computed at once
STEP = 2.0**20  # integer similarities per 1


@dataclass(frozen=True, eq=False)
class Located:
    """The K picks of the greedy."""

    order: np.ndarray  # K integers: the positions of the items, in the order in which they were picked
    gains: np.ndarray  # K numbers: what each pick added to F
    values: np.ndarray  # K numbers: what the greedy compared: the gain, or its mixture with the bonus
    neighbours: int  # of each item; 0 where all similarities count
    recall: float  # the share of the true neighbours that the index found; 1 for an exact search


def facility_location(
    points: np.ndarray,
    limit: int,
    *,
    costs: np.ndarray | None = None,
    similarity: Similarity = "cosine",
    neighbours: int | None = None,
    index: Index = "exact",
    bonus: np.ndarray | None = None,
    alpha: float = 0.0,
) -> Located:
    """Pick items in the order of the exact greedy, until the next pick would exceed the limit.

    Args:
        points: N x d numbers.
        limit: the largest total cost.
        costs: the cost of each item (N integers; ones by default).
        similarity: "cosine" (below 0 it counts as 0), or "euclidean": 1 / (1 + distance).
        neighbours: how many neighbours of an item, itself included, are similar to it; 0: all. None: all up to DENSE items,
            else NEIGHBOURS.
        index: how neighbours are searched, see nearest.py.
        bonus: N numbers from 0 to 1. With it, the largest (1 - alpha) * gain / G + alpha * bonus is picked, where G is the
            largest gain of a first pick. A modular term leaves the sum submodular, so the greedy stays exact.
        alpha: the share of the bonus, from 0 to 1.

    Ties go to the lower position. Raises UserError for points that are not finite, and for options that are not valid.
    """
    if similarity not in SIMILARITIES:
        raise UserError(unknown("similarity", similarity, SIMILARITIES))
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha={alpha} is no share: it must be from 0 to 1.")
    if neighbours is not None and neighbours < 0:
        raise UserError(f"neighbours={neighbours}: valid are 0 (all) or the number of neighbours of each item.")
    from selbench.optimize.facility_kernel import lazy_dense, lazy_sparse  # compiles on import

    n = len(points)
    prices = np.ones(n, np.int64) if costs is None else np.require(costs, np.int64, ["C", "W"])
    extra = np.zeros(n) if bonus is None else np.require(bonus, np.float64, ["C", "W"])
    wanted = (0 if n <= DENSE else NEIGHBOURS) if neighbours is None else neighbours
    space = unit_rows(points) if similarity == "cosine" else finite_rows(points)
    recall = 1.0
    if wanted == 0 or wanted >= n:
        wanted = 0
        order, gains, values = lazy_dense(_all_similarities(space, similarity), extra, alpha, prices, limit)
    else:
        near = nearest_neighbours(space, wanted, "cosine" if similarity == "cosine" else "euclidean", index)
        recall = near.recall
        closeness = _closeness_of(space, near.positions, similarity)  # FAISS's are in float32
        indptr, indices, closeness = _covered_by(near.positions, _as_integers(closeness, similarity))
        order, gains, values = lazy_sparse(indptr, indices, closeness, extra, alpha, prices, limit)
    return Located(order, gains / STEP, values if alpha else gains / STEP, wanted, recall)


def _all_similarities(space: np.ndarray, similarity: str) -> np.ndarray:
    """N x N integers: the similarities in steps of 2^-20."""
    n = len(space)
    square = np.einsum("ij,ij->i", space, space)
    found = np.empty((n, n), np.int32)
    for start in range(0, n, CHUNK):
        stop = start + CHUNK
        product = space[start:stop] @ space[start:].T  # the rest is symmetric
        if similarity == "euclidean":
            apart = square[start:stop, None] + square[None, start:] - 2.0 * product
            product = np.sqrt(np.maximum(apart, 0))
        found[start:stop, start:] = _as_integers(product, similarity)
        found[start:, start:stop] = found[start:stop, start:].T
    if similarity == "euclidean":
        np.fill_diagonal(found, int(STEP))
    return found


def _closeness_of(space: np.ndarray, positions: np.ndarray, similarity: str) -> np.ndarray:
    """N x K numbers: the cosines of each item with its neighbours, or the distances."""
    found = np.empty(positions.shape)
    rows = max(1, CHUNK * 64 // positions.shape[1])  # 200 MB at width 384
    for start in range(0, len(space), rows):
        here, near = space[start : start + rows, None], space[positions[start : start + rows]]
        if similarity == "cosine":
            found[start : start + rows] = (here @ near.transpose(0, 2, 1))[:, 0]
        else:
            found[start : start + rows] = np.sqrt(((here - near) ** 2).sum(axis=2))
    return found


def _as_integers(closeness: np.ndarray, similarity: str) -> np.ndarray:
    """Cosines, or Euclidean distances, as similarities in steps of 2^-20."""
    values = np.clip(closeness, 0, 1) if similarity == "cosine" else 1 / (1 + closeness)
    return np.rint(values * STEP).astype(np.int32)


def _covered_by(positions: np.ndarray, closeness: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each item, the items that have it among their neighbours, as CSR rows, from the neighbours of each (N x K).

    A position below 0 is a neighbour that the index has not found.
    """
    n, k = positions.shape
    found = positions.ravel() >= 0
    near, owner, value = positions.ravel()[found], np.repeat(np.arange(n), k)[found], closeness.ravel()[found]
    by_item = np.argsort(near, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(near, minlength=n))]).astype(np.int64)
    return indptr, owner[by_item].astype(np.int32), np.ascontiguousarray(value[by_item])
