"""Semantic duplicates within given clusters against the reference loop of SemDeDup.

The reference is the loop of facebookresearch/SemDeDup (semdedup.py): per cluster the whole matrix of cosines in torch, its upper
triangle, and the largest value of each column. The clusters are the same for both, and their k-means is not timed.
"""

from __future__ import annotations

import numpy as np
import torch
from bench_facility import clustered_points
from side_by_side import parse_options, time_ways

from selbench.optimize.kmeans import Clustered, members_of, spherical_clusters
from selbench.optimize.semantic_duplicates import duplicate_cosines


def reference_loop(points: np.ndarray, found: Clustered) -> np.ndarray:
    """N numbers: the largest cosine of each point to an earlier one of its cluster, farthest from the centre first."""
    largest = np.full(len(points), -1.0)
    for members in members_of(found.cluster, found.clusters):
        if len(members) < 2:
            continue
        walked = members[np.argsort(found.cosine[members], kind="stable")]
        rows = torch.from_numpy(points[walked])
        upper = torch.triu(rows @ rows.T, diagonal=1)
        largest[walked] = upper.max(dim=0)[0].numpy()
        largest[walked[0]] = -1
    return largest


def main() -> None:
    options = parse_options(__doc__ or "")
    n = 2000 if options.quick else 20_000
    points = clustered_points(n)
    found = spherical_clusters(points, max(1, n // 1000), 0)
    ours, theirs = duplicate_cosines(points, found), reference_loop(points, found)
    # The reference's zeros below the diagonal hide cosines below 0.
    apart = np.abs(np.maximum(ours, 0) - np.maximum(theirs, 0)).max()
    print(f"{n:,} x 384 in {found.clusters} clusters; largest difference from the reference's cosines: {apart:.1e}")
    ways = {
        "selbench (float64)": lambda: duplicate_cosines(points, found),
        "SemDeDup's loop, torch (float32)": lambda: reference_loop(points, found),
    }
    time_ways(ways, "selbench (float64)", options)


if __name__ == "__main__":
    main()
