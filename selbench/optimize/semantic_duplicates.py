"""Semantic duplicates within clusters (SemDeDup, arXiv 2303.09540): how similar each item is to an earlier one of its cluster.

As in the official code, a cluster's items are walked from the farthest from its centre to the nearest ("hard"), and an item
is a duplicate if its largest cosine to any earlier item, dropped or not, is above 1 - eps. That cosine does not depend on
eps. So one pass serves every eps, and the items with the smallest cosines are what the eps keeps that keeps as many.
"""

from __future__ import annotations

import numpy as np

from selbench.optimize.kmeans import Clustered, members_of
from selbench.optimize.nearest import unit_rows

CHUNK = 2048  # items of a cluster that are compared with all of it at once


def duplicate_cosines(points: np.ndarray, found: Clustered) -> np.ndarray:
    """N numbers: the largest cosine of each point to an earlier one of its cluster; -1 for the first of a cluster.

    `points` are N x d numbers, `found` their clusters. Ties in the distance to the centre go to the lower position. O(N^2 / K)
    for K clusters of one size. Raises UserError for points that are not finite.
    """
    space = unit_rows(points)
    largest = np.full(len(space), -1.0)
    for members in members_of(found.cluster, found.clusters):
        walked = members[np.argsort(found.cosine[members], kind="stable")]
        rows = space[walked]
        for start in range(0, len(rows), CHUNK):
            stop = min(start + CHUNK, len(rows))
            # Later items are left out: of row i the columns from i on.
            product = rows[start:stop] @ rows[:stop].T
            product[np.arange(stop)[None, :] >= np.arange(start, stop)[:, None]] = -1
            largest[walked[start:stop]] = product.max(axis=1)
    clipped: np.ndarray = np.clip(largest, -1, 1)
    return clipped
