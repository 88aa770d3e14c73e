"""k-center by farthest-first traversal: the textbook picks, lazily and in blocks.

The textbook (Gonzalez 1985; Sener & Savarese 2018) compares all N points with every new centre: N matrix-vector
products that are bound by memory. A point's distance to its nearest centre only shrinks as centres are added, so an
old distance is an upper bound, and a point whose bound is not among the largest cannot be the farthest now. We bring
only the block of points with the largest bounds up to date, with one matrix product against the centres that they
have not seen, and then pick inside the block for as long as its farthest point is beyond every bound outside.

The products go through NumPy's BLAS and not through FAISS: all distances to one centre are a matrix-vector product
again (64 s on one core for 52,002 x 384 and 7,800 centres, against 43 s for a plain torch loop and 1.4 s here).
`faiss.knn` in place of the blocked products here would save a fifth of that 1.4 s, for which we do not bring a second
pool of threads into the process (benchmarks/bench_kcenter.py measures all of them). On a GPU that trade turns round:
where a build of faiss-gpu and a device are found, the blocked products go there (optimize/faiss_gpu.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown
from selbench.optimize import faiss_gpu
from selbench.optimize.faiss_gpu import Nearest

Metric = Literal["cosine", "euclidean"]
METRICS = get_args(Metric)
BLOCK = 2048  # points brought up to date together: 3 MB at width 384
CHUNK = 512  # centres per matrix product


@dataclass(frozen=True, eq=False)
class FarthestFirst:
    """`order` (K positions) and `radius`: how far each pick was from the nearest earlier one; infinite for the first."""

    order: np.ndarray
    radius: np.ndarray


def farthest_first(
    points: np.ndarray,
    limit: int,
    *,
    costs: np.ndarray | None = None,
    metric: Metric = "cosine",
    first: int = 0,
) -> FarthestFirst:
    """Start at `first`; then always take the point farthest from all taken, until the next no longer fits.

    Args:
        points: N x d numbers, computed with in float32.
        limit, costs: what may be spent and what each point costs (N integers; ones by default).
        metric: "euclidean", or "cosine": Euclidean between the points scaled to length 1 (a zero stays zero).

    Ties go to the lower position; exact duplicates of a taken point are at distance 0 and come last. Float32 does not
    tell points apart that are closer than about a thousandth of their length: those are ties.
    """
    if not 0 <= first < len(points):
        raise UserError(f"first centre {first} is outside the {len(points)} points (0 to {len(points) - 1}).")
    prices = np.ones(len(points), np.int64) if costs is None else np.asarray(costs, np.int64)
    space = comparable(points, metric)
    representatives, duplicates = _distinct(space, first)
    start = int(np.flatnonzero(representatives == first)[0])
    most = int(np.searchsorted(np.cumsum(np.sort(prices)), limit, side="right"))
    picks, squared = _traverse(space[representatives], start, min(most, len(representatives)))
    order = np.concatenate([representatives[picks], duplicates])
    radius = np.concatenate([np.sqrt(squared), np.zeros(len(duplicates))])
    if len(picks) < len(representatives):  # what follows the last pick is unknown, so nothing may follow
        order, radius = order[: len(picks)], radius[: len(picks)]
    fits = int(np.searchsorted(np.cumsum(prices[order]), limit, side="right"))
    return FarthestFirst(order[:fits], radius[:fits])


def medoid(points: np.ndarray, metric: Metric = "cosine") -> int:
    """The point nearest to the mean: the one with the least sum of squared distances to all others."""
    space = comparable(points, metric)
    return int(np.argmin(((space - space.mean(axis=0)) ** 2).sum(axis=1)))


def comparable(points: np.ndarray, metric: Metric) -> np.ndarray:
    """N x d float32 whose Euclidean distances are the distances of the metric."""
    if metric not in METRICS:
        raise UserError(unknown("metric", metric, METRICS))
    space = np.ascontiguousarray(points, np.float32)
    if not np.isfinite(space).all():
        raise UserError("k-center needs finite points, but some are NaN or infinite.")
    if metric == "euclidean":
        centred: np.ndarray = space - space.mean(axis=0)
        return centred  # nearer to zero, squared lengths lose fewer digits
    lengths = np.sqrt(np.einsum("ij,ij->i", space, space))
    return space / np.where(lengths > 0, lengths, 1)[:, None]


def _distinct(space: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of one point of every kind (`first`, else the lowest), and the positions of all others."""
    seen = {space[first].tobytes(): first}
    for position, row in enumerate(space):
        seen.setdefault(row.tobytes(), position)
    kept = np.sort(np.fromiter(seen.values(), np.int64, len(seen)))
    return kept, np.setdiff1d(np.arange(len(space)), kept)


def _traverse(space: np.ndarray, first: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k picks and their squared distances to the nearest earlier pick."""
    n = len(space)
    square = np.einsum("ij,ij->i", space, space)
    centres = np.empty((k, space.shape[1]), np.float32)
    order, squared = np.empty(k, np.int64), np.full(k, np.inf)
    # Squared distance to the nearest of the first `seen` picks; -1 once picked.
    bound = np.maximum(square + square[first] - 2 * (space @ space[first]), 0)
    seen = np.ones(n, np.int64)
    picked, search = 0, faiss_gpu.nearest() or _nearest

    def pick(position: int) -> None:
        nonlocal picked
        order[picked], centres[picked] = position, space[position]
        bound[position] = -1
        picked += 1

    if k:
        pick(first)
    while picked < k:
        block, rival, beyond = _largest(bound, BLOCK)
        _refresh(block, space, square, centres[:picked], square[order[:picked]], bound, seen, beyond, search)
        block = block[(bound[block] >= beyond) & (seen[block] == picked)]
        here, lengths, nearest = space[block], square[block], bound[block]
        while picked < k and len(block):
            best = int(nearest.argmax())
            position, distance = int(block[best]), nearest[best]
            if distance < 0 or distance < beyond or (distance == beyond and position > rival):
                break
            squared[picked] = distance
            pick(position)
            np.minimum(nearest, np.maximum(lengths + lengths[best] - 2 * (here @ here[best]), 0), out=nearest)
            nearest[best] = -1
        bound[block] = np.minimum(bound[block], nearest)
        seen[block] = picked
    return order, squared


def _largest(bound: np.ndarray, size: int) -> tuple[np.ndarray, int, float]:
    """The `size` largest bounds (among equals the lower positions), and the best one left outside: where and how much."""
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


def _refresh(
    block: np.ndarray,
    space: np.ndarray,
    square: np.ndarray,
    centres: np.ndarray,
    centre_square: np.ndarray,
    bound: np.ndarray,
    seen: np.ndarray,
    beyond: float,
    search: Nearest,
) -> None:
    """Compare the block with the centres it has not seen, dropping points as soon as they fall below `beyond`."""
    start = int(seen[block].min())
    while start < len(centres):
        stop = min(start + CHUNK, len(centres))
        rows = block[(seen[block] < stop) & (bound[block] >= max(beyond, 0))]
        if len(rows):
            nearest = search(space[rows], square[rows], centres[start:stop], centre_square[start:stop])
            bound[rows] = np.minimum(bound[rows], nearest)
            seen[rows] = stop
        start = stop


def _nearest(rows: np.ndarray, square: np.ndarray, centres: np.ndarray, centre_square: np.ndarray) -> np.ndarray:
    """Squared distance of each row to the nearest of the centres; `square` and `centre_square` are squared lengths."""
    product = rows @ centres.T
    product -= centre_square / 2
    nearest: np.ndarray = np.maximum(square - 2 * product.max(axis=1), 0)
    return nearest
