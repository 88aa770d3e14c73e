"""The variance that a mean over items has because the items are a sample of all items of their tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def item_variance(values: Floats, starts: NDArray[np.int64]) -> tuple[float, float]:
    """The variance that the choice of items adds to a macro-average over tasks, and its degrees of freedom.

    `values` is n seeds x M items, scores or paired differences; the items of a task are neighbours and begin at
    `starts`. Within a task, the mean over seeds varies from item to item by var(item) + var(rest)/n (see the module
    differences). The second term, estimated from the interaction of seed and item, is subtracted, because the variance
    over seeds already contains it. With one seed it cannot be estimated, and stays in. NaN and 0 if a task has a
    single item.
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
