"""Everything that searches neighbours, by FAISS: on the first GPU if the installed build of it finds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown

# Arguments: rows (R x d) and centres (C x d, at least one), in float32. Result: the squared Euclidean distance of each row
# to the nearest centre (R), never below 0.
NearestSearch = Callable[[np.ndarray, np.ndarray], np.ndarray]


@cache
def nearest_search() -> NearestSearch:
    """The exact search in float32: on the first GPU, or on the CPU where faiss is built for CPUs or there is no GPU.

    Picks whose distances float32 cannot tell apart may change places between the two.
    """
    # Both builds, faiss-cpu and faiss-gpu, install a module of this name; only that for GPUs has the resources.
    import faiss

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        resources = faiss.StandardGpuResources()
        return lambda rows, centres: _first_column(faiss.knn_gpu(resources, rows, centres, 1)[0])
    return lambda rows, centres: _first_column(faiss.knn(rows, centres, 1)[0])


def _first_column(distances: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.maximum(distances[:, 0], 0)
    return found


# ------------------------------------------------------------------------------------ the nearest K of every point

Index = Literal["exact", "ivf", "hnsw"]
INDEXES = get_args(Index)
SAMPLE = 256  # points whose true neighbours are searched too, to measure the recall of an approximate index
ROWS = 4096  # points searched at once


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest K points of each of N points, itself among them."""

    positions: np.ndarray  # N x K integers, nearest first; -1 where the index found fewer
    closeness: np.ndarray  # N x K numbers: the cosines, or the Euclidean distances
    recall: float  # the share of the true neighbours found, on a sample of SAMPLE points; 1 for an exact search


def nearest_neighbours(
    points: np.ndarray, k: int, metric: Literal["cosine", "euclidean"] = "cosine", index: Index = "exact"
) -> Neighbours:
    """The nearest K of each of N x d points, by FAISS.

    Args:
        points: N x d numbers, used in float32; for the cosine each of length 1 or 0 (`unit_rows`).
        k: how many, at most N.
        metric: cosine or euclidean.
        index: exact (all pairs are compared), ivf (points are searched in the sqrt(N)/16 nearest of sqrt(N) cells, at least 8)
            or hnsw (a graph with 32 links a point, built by one thread so that it is the same each time).

    Raises UserError for an unknown index.
    """
    if index not in INDEXES:
        raise UserError(unknown("index", index, INDEXES))
    import faiss

    space = np.ascontiguousarray(points, np.float32)
    measure = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    if index == "exact":
        closeness, positions = _exact_neighbours(space, space, k, measure)
        return Neighbours(positions, _lengths(closeness, metric), 1.0)
    n, width = space.shape
    built: Any
    if index == "ivf":
        cells = max(1, min(int(np.sqrt(n)), n // 39))  # FAISS warns of fewer than 39 points a cell
        built = faiss.IndexIVFFlat(faiss.IndexFlat(width, measure), width, cells, measure)
        built.train(space)
        built.add(space)
        built.nprobe = min(cells, max(8, cells // 16))
    else:
        built = faiss.IndexHNSWFlat(width, 32, measure)
        built.hnsw.efSearch = max(64, 2 * k)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            built.add(space)
        finally:
            faiss.omp_set_num_threads(threads)
    parts = [built.search(space[start : start + ROWS], k) for start in range(0, n, ROWS)]
    closeness, positions = (np.concatenate(column) for column in zip(*parts))
    sample = np.linspace(0, n - 1, min(SAMPLE, n)).astype(np.int64)
    _, true = _exact_neighbours(space[sample], space, k, measure)
    hits = sum(len(np.intersect1d(positions[row], exact)) for row, exact in zip(sample, true))
    return Neighbours(positions, _lengths(closeness, metric), hits / true.size)


def finite_rows(points: np.ndarray) -> np.ndarray:
    """The points in float64. Raises UserError if some are not finite."""
    space = np.ascontiguousarray(points, np.float64)
    if not np.isfinite(space).all():
        raise UserError("vectors need to be finite, but some are NaN or infinite.")
    return space


def unit_rows(points: np.ndarray) -> np.ndarray:
    """The points (N x d) scaled to length 1 in float64; a zero row stays zero. Raises UserError if some are not finite.

    In float32 a product of rows depends, in its last digits, on how many threads compute it: enough to part near ties.
    """
    space = finite_rows(points)
    lengths = np.sqrt(np.einsum("ij,ij->i", space, space))
    units: np.ndarray = space / np.where(lengths > 0, lengths, 1)[:, None]
    return units


def _exact_neighbours(rows: np.ndarray, space: np.ndarray, k: int, measure: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        found = faiss.knn_gpu(faiss.StandardGpuResources(), rows, space, k, metric=measure)
    else:
        found = faiss.knn(rows, space, k, metric=measure)
    return found


def _lengths(closeness: np.ndarray, metric: str) -> np.ndarray:
    """Cosines as they are; of squared distances the roots."""
    return closeness if metric == "cosine" else np.sqrt(np.maximum(closeness, 0))
