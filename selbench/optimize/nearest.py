"""Distances to the nearest of many centres, by FAISS: on the first GPU if the installed build of it finds one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

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
