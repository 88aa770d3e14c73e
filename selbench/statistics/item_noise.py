"""What other items of the same tasks would add to the noise of a mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def item_variance(values: Floats, starts: NDArray[np.int64]) -> tuple[float, float]:
    """What other items of the same tasks would add to the variance of a macro-average over tasks, and its degrees of
    freedom. NaN if a task has a single item.

    `values` is n seeds x M items, scores or paired differences. In each task the mean over seeds varies from item to
    item by var(item) + var(rest)/n (see differences); the rest, estimated from the interaction of seed and item, is
    taken off, because the variance over seeds holds it already. With one seed it cannot be told apart and stays.
    """
    seeds, count = values.shape
    sizes = np.diff(np.append(starts, count))
    if (sizes < 2).any():
        return float("nan"), 0.0
    mean = values.mean(0)
    around = mean - np.repeat(np.add.reduceat(mean, starts) / sizes, sizes)
    variance = np.add.reduceat(around**2, starts) / (sizes - 1) / sizes
    if seeds > 1:
        level = np.repeat(np.add.reduceat(values, starts, axis=1) / sizes, sizes, axis=1)
        rest = np.add.reduceat(((values - level - around) ** 2).sum(0), starts) / ((seeds - 1) * (sizes - 1))
        variance = variance - rest / (seeds * sizes)
    return max(float(variance.sum()), 0.0) / len(sizes) ** 2, float((sizes - 1).sum())
