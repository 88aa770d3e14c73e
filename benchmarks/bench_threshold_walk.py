"""The threshold walk against the loop of DEITA's filter, at batch size 1, and a loop of NumPy's products.

Points in clusters, a threshold that takes about half. DEITA's loop is that of hkust-nlp/deita (selection/filter/utils.py and
base.py), with its chunks, in torch on the CPU: one candidate at a time against all kept rows.
"""

from __future__ import annotations

import numpy as np
import torch
from bench_facility import clustered_points
from side_by_side import parse_options, time_ways

from selbench.optimize.threshold_walk import cosine_quantile, walk_apart


def deita_loop(points: np.ndarray, threshold: float, size: int) -> list[int]:
    """Normalised again at each comparison, as torch's cosine similarity does it there; kept rows are concatenated."""
    rows = torch.from_numpy(points)
    kept, taken = [0], rows[:1]
    for item in range(1, len(rows)):
        if len(kept) == size:
            break
        similar = torch.nn.functional.cosine_similarity(rows[item : item + 1], taken, dim=1)
        if float(similar.max()) <= threshold:
            kept.append(item)
            taken = torch.cat([taken, rows[item : item + 1]])
    return kept


def numpy_loop(points: np.ndarray, threshold: float, size: int) -> list[int]:
    """A product of each candidate with the kept rows, which are held in one array."""
    taken = np.empty_like(points)
    kept: list[int] = []
    for item, row in enumerate(points):
        if len(kept) == size:
            break
        if not kept or float((taken[: len(kept)] @ row).max()) <= threshold:
            taken[len(kept)] = row
            kept.append(item)
    return kept


def main() -> None:
    options = parse_options(__doc__ or "")
    n = 1000 if options.quick else 5000
    points = clustered_points(n)
    threshold = cosine_quantile(points[:2000], 0.9995)
    order = np.arange(n)
    found = walk_apart(points, n, order=order, threshold=threshold).order
    for name, way in {"DEITA's loop": deita_loop, "the NumPy loop": numpy_loop}.items():
        other = way(points, threshold, n)
        print(
            f"{n:,} x 384, threshold {threshold:.3f}: {len(found):,} taken; {len({*found} & {*other}):,} in common with {name}"
        )
    ways = {
        "selbench": lambda: walk_apart(points, n, order=order, threshold=threshold),
        "DEITA's loop, batch size 1, torch": lambda: deita_loop(points, threshold, n),
        "a product for each candidate, NumPy": lambda: numpy_loop(points, threshold, n),
    }
    time_ways(ways, "selbench", options)


if __name__ == "__main__":
    main()
