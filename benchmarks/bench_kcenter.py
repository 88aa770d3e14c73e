"""Exact k-center: 7,800 centres of 52,002 points of width 384, random points and points in 200 clusters.

Compared are selbench's lazy and blocked traversal, the same with NumPy's products in place of FAISS, a loop of torch
matrix-vector products, a loop of FAISS distances to each centre and, as a scale, one matrix product of all pairs of a
point and a centre. Then the time of selbench's for 10,000 to 200,000 points.
"""

from __future__ import annotations

import time
from unittest import mock

import faiss
import numpy as np
import torch
from side_by_side import parse_options, time_ways

from selbench.optimize import kcenter
from selbench.optimize.kcenter import farthest_first


def random_points(n: int, clusters: int, width: int = 384) -> np.ndarray:
    """n x width points of length 1, around as many cluster centres (0: no clusters)."""
    rng = np.random.default_rng(clusters)
    made = rng.standard_normal((n, width), np.float32)
    if clusters:
        made = 0.7 * made + rng.standard_normal((clusters, width), np.float32)[rng.integers(0, clusters, n)]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def torch_loop(space: np.ndarray, k: int) -> np.ndarray:
    """The textbook algorithm: one matrix-vector product per centre."""
    rows = torch.from_numpy(space)
    nearest, order = torch.full((len(rows),), torch.inf), [0]
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, 2 - 2 * (rows @ rows[order[-1]]))
        nearest[order[-1]] = -1
        order.append(int(nearest.argmax()))
    return np.array(order)


def faiss_loop(space: np.ndarray, k: int) -> np.ndarray:
    """The textbook algorithm with the distances of all points to each new centre from FAISS."""
    nearest, order = np.full(len(space), np.inf, np.float32), [0]
    for _ in range(k - 1):
        distance = faiss.pairwise_distances(space[order[-1:]], space)[0]
        nearest = np.minimum(nearest, distance)
        nearest[order] = -1
        order.append(int(nearest.argmax()))
    return np.array(order)


def selbench_with_numpy(space: np.ndarray, k: int) -> np.ndarray:
    """selbench's traversal, with NumPy's matrix products in place of faiss.knn."""

    def search(rows, centres):  # type: ignore[no-untyped-def]
        product = rows @ centres.T
        product -= np.einsum("ij,ij->i", centres, centres) / 2
        return np.maximum(np.einsum("ij,ij->i", rows, rows) - 2 * product.max(axis=1), 0)

    with mock.patch.object(kcenter, "nearest_search", lambda: search):
        return farthest_first(space, k).order


def multiply_all_pairs(space: np.ndarray, k: int) -> None:
    """The products of all points with k centres, in blocks: what k-center would cost if all centres were known at once."""
    for start in range(0, len(space), 4096):
        space[start : start + 4096] @ space[:k].T


def main() -> None:
    options = parse_options(__doc__ or "")
    faiss.omp_set_num_threads(options.threads)
    n, k = (3000, 400) if options.quick else (52002, 7800)
    for clusters in (0, 200):
        space = random_points(n, clusters)
        found, textbook = farthest_first(space, k).order, torch_loop(space, k)
        same = (found == textbook).sum()
        print(f"{n:,} x 384, {k:,} centres, {clusters or 'no'} clusters; picks as the torch loop: {same:,} in place,")
        print(f"{len(set(found) & set(textbook)):,} in all")
        ways = {
            "selbench": lambda space=space: farthest_first(space, k),
            "selbench with NumPy's products": lambda space=space: selbench_with_numpy(space, k),
            "one matrix product of all pairs": lambda space=space: multiply_all_pairs(space, k),
            "torch, a matrix-vector product per centre": lambda space=space: torch_loop(space, k),
        }
        if not clusters:
            ways["faiss, all distances per centre"] = lambda space=space: faiss_loop(space, k)
        time_ways(ways, "selbench", options)
    for size in (1000, 4000) if options.quick else (10_000, 50_000, 200_000):
        space = random_points(size, 200)
        start = time.perf_counter()
        farthest_first(space, int(0.15 * size))
        print(f"{size:>9,} points, 15 %: {time.perf_counter() - start:8.2f} s")


if __name__ == "__main__":
    main()
