"""k-means clusters of vectors, by FAISS, seeded; and turns that groups take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selbench.errors import UserError
from selbench.optimize.nearest import unit_rows

ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Clustered:
    """The cluster of each of N points."""

    cluster: np.ndarray  # N integers, from 0
    cosine: np.ndarray  # N numbers: of each point to the centre of its cluster
    clusters: int  # how many there are; some may be empty


def spherical_clusters(points: np.ndarray, clusters: int, seed: int) -> Clustered:
    """k-means by cosine: points of length 1, centres scaled to length 1 after each of 20 rounds, all points in each.

    Args:
        points: N x d numbers, used in float32.
        clusters: how many; no more than there are distinct points are made.
        seed: of the first centres, which are points drawn at random.

    Raises UserError for fewer than 1 cluster and for points that are not finite.
    """
    if clusters < 1:
        raise UserError(f"clusters={clusters}: there must be at least 1.")
    space = unit_rows(points).astype(np.float32)
    count = min(clusters, len(np.unique(space, axis=0)))
    import faiss

    trained = faiss.Kmeans(
        space.shape[1],
        count,
        niter=ITERATIONS,
        seed=seed % 2**31,
        spherical=True,
        min_points_per_centroid=1,  # no warning of small clusters
        max_points_per_centroid=len(space),  # no point is left out
    )
    trained.train(space)
    centres = np.asarray(trained.centroids, np.float32)
    cosine, cluster = faiss.knn(space, centres, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return Clustered(cluster[:, 0].astype(np.int64), np.clip(cosine[:, 0], -1, 1), count)


def members_of(cluster: np.ndarray, count: int) -> list[np.ndarray]:
    """The positions of the members of each of `count` clusters, in ascending order."""
    by_cluster = np.argsort(cluster, kind="stable")
    return np.split(by_cluster, np.cumsum(np.bincount(cluster, minlength=count))[:-1])


def round_robin(rankings: Sequence[np.ndarray], limit: int, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each ranking in turn takes the best of its items that is not taken yet, until the next would exceed the limit.

    Args:
        rankings: positions of items, best first; an item may be in several. An exhausted ranking is passed over.
        limit: the largest total cost.
        costs: N integers, the cost of each item.

    Returns:
        The positions of the K items in the order in which they were taken, and the ranking that took each.
    """
    taken = np.zeros(len(costs), bool)
    reached = [0] * len(rankings)
    order: list[int] = []
    by: list[int] = []
    spent = 0
    waiting = list(range(len(rankings)))
    while waiting:
        still = []
        for number in waiting:
            ranking, place = rankings[number], reached[number]
            while place < len(ranking) and taken[ranking[place]]:
                place += 1
            reached[number] = place + 1
            if place >= len(ranking):
                continue
            item = int(ranking[place])
            if spent + costs[item] > limit:
                return np.array(order, np.int64), np.array(by, np.int64)
            taken[item] = True
            order.append(item)
            by.append(number)
            spent += int(costs[item])
            still.append(number)
        waiting = still
    return np.array(order, np.int64), np.array(by, np.int64)
