"""k-center by farthest-first traversal: the picks of the textbook algorithm, computed lazily and in blocks.

The textbook (Gonzalez 1985; Sener & Savarese 2018) compares all N points with every new centre: one matrix-vector
product per centre, which is bound by memory. Here only some points are compared. A point's distance to its nearest
centre never grows when centres are added, so an old distance is an upper bound, and a point whose bound is not among
the largest cannot be the farthest. The block of points with the largest bounds is brought up to date, with one matrix
product against the centres that these points were not yet compared with. Then points of the block are picked for as
long as its farthest point is farther than every bound outside the block. The blocks are ours.

The distances to these centres are FAISS's (`faiss.knn`; nearest.py): on the first GPU where its build and the machine have
one. FAISS asked for all distances to each new centre is bound by memory like the textbook (benchmarks/bench_kcenter.py
compares them). It brings a pool of threads of its own, beside NumPy's and torch's. They take turns here, never both at
work, and as many threads as OMP_NUM_THREADS allows wait in each; they wait busily only for a moment, because the command line
sets GOMP_SPINCOUNT for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown
from selbench.optimize.nearest import NearestSearch, nearest_search

Metric = Literal["cosine", "euclidean"]
METRICS = get_args(Metric)
BLOCK = 2048  # points that are brought up to date together: 3 MB at width 384
CHUNK = 512  # centres in one matrix product


@dataclass(frozen=True, eq=False)
class FarthestFirst:
    """The K picks of a farthest-first traversal."""

    order: np.ndarray  # K integers: the positions of the points, in the order in which they were picked
    radius: np.ndarray  # K numbers: the distance of each pick to the nearest earlier one; infinite for the first
    # K numbers: by how much the radius of the next pick is smaller, also of the one that the limit leaves out; NaN where
    # no point is left. About 1e-7 of the points' length or less: float32 may not tell which of the two is farther.
    margin: np.ndarray


def farthest_first(
    points: np.ndarray,
    limit: int,
    *,
    costs: np.ndarray | None = None,
    metric: Metric = "cosine",
    first: int = 0,
) -> FarthestFirst:
    """Pick `first`, then repeatedly the point farthest from all picked ones, until the next would exceed the limit.

    Args:
        points: N x d numbers, used in float32.
        limit: the largest total cost.
        costs: the cost of each point (N integers; ones by default).
        metric: "euclidean", or "cosine": the Euclidean distance of the points scaled to length 1 (zero stays zero).
        first: the position of the first pick.

    Ties go to the lower position. Exact duplicates of a picked point have distance 0 and come last. In float32, points
    closer than about a thousandth of their length are ties.

    Raises UserError for an unknown metric, for points that are not finite, and for `first` outside the points.
    """
    if not 0 <= first < len(points):
        raise UserError(f"first centre {first} is outside the {len(points)} points (0 to {len(points) - 1}).")
    prices = np.ones(len(points), np.int64) if costs is None else np.asarray(costs, np.int64)
    space = comparable(points, metric)
    representatives, duplicates = _split_duplicates(space, first)
    start = int(np.flatnonzero(representatives == first)[0])
    # With the cheapest points first, no more than this many can fit.
    most = int(np.searchsorted(np.cumsum(np.sort(prices)), limit, side="right"))
    # One more than fits, so that it is known how far the last one is ahead of it.
    picks, squared = _farthest_picks(space[representatives], start, min(most + 1, len(representatives)))
    order = np.concatenate([representatives[picks], duplicates])
    radius = np.concatenate([np.sqrt(squared), np.zeros(len(duplicates))])
    if len(picks) < len(representatives):  # the next pick is unknown, so duplicates may not follow
        order, radius = order[: len(picks)], radius[: len(picks)]
    fits = int(np.searchsorted(np.cumsum(prices[order]), limit, side="right"))
    ahead = np.append(radius, np.nan)
    with np.errstate(invalid="ignore"):
        return FarthestFirst(order[:fits], radius[:fits], ahead[:fits] - ahead[1 : fits + 1])


def medoid(points: np.ndarray, metric: Metric = "cosine") -> int:
    """The position of the point (of N x d) nearest to the mean, which has the least sum of squared distances to all others."""
    space = comparable(points, metric)
    return int(np.argmin(((space - space.mean(axis=0)) ** 2).sum(axis=1)))


def comparable(points: np.ndarray, metric: Metric) -> np.ndarray:
    """The points as N x d float32 whose Euclidean distances are the distances of the metric.

    Raises UserError for an unknown metric or for points that are not finite.
    """
    if metric not in METRICS:
        raise UserError(unknown("metric", metric, METRICS))
    space = np.ascontiguousarray(points, np.float32)
    if not np.isfinite(space).all():
        raise UserError("k-center needs finite points, but some are NaN or infinite.")
    if metric == "euclidean":
        centred: np.ndarray = space - space.mean(axis=0)
        return centred  # squared lengths of points nearer to zero lose fewer digits
    lengths = np.sqrt(np.einsum("ij,ij->i", space, space))
    units: np.ndarray = space / np.where(lengths > 0, lengths, 1)[:, None]
    return units


def _split_duplicates(space: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the distinct points (of equal ones `first`, else the lowest), and the positions of all others."""
    seen = {space[first].tobytes(): first}
    for position, row in enumerate(space):
        seen.setdefault(row.tobytes(), position)
    kept = np.sort(np.fromiter(seen.values(), np.int64, len(seen)))
    return kept, np.setdiff1d(np.arange(len(space)), kept)


def _farthest_picks(space: np.ndarray, first: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k picks and their squared distances to the nearest earlier pick."""
    n = len(space)
    square = np.einsum("ij,ij->i", space, space)
    centres = np.empty((k, space.shape[1]), np.float32)
    order, squared = np.empty(k, np.int64), np.full(k, np.inf)
    # `bound` is a point's squared distance to the nearest of the first `seen` picks, or -1 once the point is picked.
    bound = np.maximum(square + square[first] - 2 * (space @ space[first]), 0)
    seen = np.ones(n, np.int64)
    picked, search = 0, nearest_search()

    def pick(position: int) -> None:
        nonlocal picked
        order[picked], centres[picked] = position, space[position]
        bound[position] = -1
        picked += 1

    if k:
        pick(first)
    while picked < k:
        # Every bound outside the block is at most `beyond`; `rival` is the lowest position at which it is reached.
        block, rival, beyond = _largest_bounds(bound, BLOCK)
        _refresh_bounds(block, space, centres[:picked], bound, seen, beyond, search)
        # What is kept has exact distances of at least `beyond`; no other point can be picked before the next block.
        block = block[(bound[block] >= beyond) & (seen[block] == picked)]
        here, lengths, nearest = space[block], square[block], bound[block]
        while picked < k and len(block):
            best = int(nearest.argmax())
            position, distance = int(block[best]), nearest[best]
            # A point outside may now be farther, or as far at a lower position: the next block decides.
            if distance < 0 or distance < beyond or (distance == beyond and position > rival):
                break
            squared[picked] = distance
            pick(position)
            np.minimum(nearest, np.maximum(lengths + lengths[best] - 2 * (here @ here[best]), 0), out=nearest)
            nearest[best] = -1
        bound[block] = np.minimum(bound[block], nearest)
        seen[block] = picked
    return order, squared


def _largest_bounds(bound: np.ndarray, size: int) -> tuple[np.ndarray, int, float]:
    """The positions of the `size` largest bounds (of equal ones the lower), and position and value of the next largest."""
    n = len(bound)
    if n <= size:
        return np.arange(n), n, -1.0
    least = np.partition(bound, n - size)[n - size]
    above, equal = np.flatnonzero(bound > least), np.flatnonzero(bound == least)
    block = np.sort(np.concatenate([above, equal[: size - len(above)]]))
    outside = np.ones(n, bool)
    outside[block] = False
    left = np.flatnonzero(outside)
    rival = int(left[np.argmax(bound[left])])
    return block, rival, float(bound[rival])


def _refresh_bounds(
    block: np.ndarray,
    space: np.ndarray,
    centres: np.ndarray,
    bound: np.ndarray,
    seen: np.ndarray,
    beyond: float,
    search: NearestSearch,
) -> None:
    """Compare the block with the centres it was not yet compared with; drop a point once its bound is below `beyond`.

    Changes `bound` and `seen` in place.
    """
    start = int(seen[block].min())
    while start < len(centres):
        stop = min(start + CHUNK, len(centres))
        rows = block[(seen[block] < stop) & (bound[block] >= max(beyond, 0))]
        if len(rows):
            nearest = search(space[rows], centres[start:stop])
            bound[rows] = np.minimum(bound[rows], nearest)
            seen[rows] = stop
        start = stop
