"""Facility location: selbench's lazy greedy, an apricot-style lazy greedy in NumPy, and the dense textbook greedy.

All three hold the N x N cosines of the same random points (clusters of them) and pick the same number. selbench's time holds the
cosines and their rounding to integers, those of the others the cosines too. Then selbench with 64 exact neighbours by FAISS, and
with those of two approximate indexes: another objective, whose value in the first is printed.
"""

from __future__ import annotations

import heapq

import numpy as np
from side_by_side import parse_options, time_ways

from selbench.optimize.facility_location import facility_location
from selbench.optimize.nearest import INDEXES


def clustered_points(n: int, width: int = 384, clusters: int = 50) -> np.ndarray:
    """n x width points of length 1 around as many centres."""
    rng = np.random.default_rng(0)
    made = rng.standard_normal((n, width)) + rng.standard_normal((clusters, width))[rng.integers(0, clusters, n)]
    units: np.ndarray = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return units


def textbook(points: np.ndarray, k: int) -> list[int]:
    """Every gain anew at every step."""
    similar = np.maximum(points @ points.T, 0)
    covered, order = np.zeros(len(points), np.float32), []
    for _ in range(k):
        gains = np.maximum(similar - covered, 0).sum(axis=1)
        gains[order] = -1
        order.append(int(gains.argmax()))
        np.maximum(covered, similar[order[-1]], out=covered)
    return order


def lazy_in_numpy(points: np.ndarray, k: int) -> list[int]:
    """The lazy greedy of apricot and submodlib: a heap of old gains, the largest of which is computed anew."""
    similar = np.maximum(points @ points.T, 0)
    covered, order = np.zeros(len(points), np.float32), []
    heap = [(-float(gain), item) for item, gain in enumerate(similar.sum(axis=1))]
    heapq.heapify(heap)
    while len(order) < k:
        _, item = heapq.heappop(heap)
        gain = float(np.maximum(similar[item] - covered, 0).sum())
        if not heap or gain >= -heap[0][0]:
            order.append(item)
            np.maximum(covered, similar[item], out=covered)
        else:
            heapq.heappush(heap, (-gain, item))
    return order


def value(points: np.ndarray, order: np.ndarray) -> float:
    """F of a selection: the sum over all points of the largest cosine to a selected one."""
    return float(np.maximum(points @ points[order].T, 0).max(axis=1).sum())


def main() -> None:
    options = parse_options(__doc__ or "")
    n, k = (1000, 150) if options.quick else (4000, 600)
    points = clustered_points(n)
    found = facility_location(points, k).order  # compiles
    for name, way in {"the textbook": textbook, "the lazy greedy in NumPy": lazy_in_numpy}.items():
        other = way(points, k)
        print(
            f"{n:,} x 384, {k:,} picks; as {name}: {int((found == other).sum()):,} in place, {len({*found} & {*other}):,} in all"
        )
    ways = {
        "selbench": lambda: facility_location(points, k),
        "apricot-style lazy greedy in NumPy": lambda: lazy_in_numpy(points, k),
        "dense textbook greedy in NumPy": lambda: textbook(points, k),
    }
    for index in INDEXES:
        near = facility_location(points, k, neighbours=64, index=index)
        share = value(points, near.order) / value(points, found)
        print(f"64 neighbours, {index}: recall {near.recall:.3f}, {share:.4f} of the dense greedy's F")
        ways[f"selbench, 64 neighbours, {index}"] = lambda index=index: facility_location(
            points, k, neighbours=64, index=index
        )
    time_ways(ways, "selbench", options)


if __name__ == "__main__":
    main()
