"""Distances to the nearest centre on a GPU, if one of the GPU builds of faiss is installed and finds a device."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache

import numpy as np

# Arguments: rows (R x d), their squared lengths (R), centres (C x d), their squared lengths (C). Result: the squared
# distance of each row to the nearest centre (R).
NearestSearch = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]

BUILDS = ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


@cache
def nearest_on_gpu() -> NearestSearch | None:
    """The search on the first GPU; None without a GPU build of faiss or without a device.

    The search is exact and in float32, as on the CPU. Picks whose distances float32 cannot tell apart may change places.
    """
    # The installed packages are listed first, because importing faiss-cpu would cost time and a second pool of threads.
    if not any(_is_installed(name) for name in BUILDS):
        return None
    import faiss

    if not faiss.get_num_gpus():
        return None
    resources = faiss.StandardGpuResources()

    def search(rows: np.ndarray, square: np.ndarray, centres: np.ndarray, centre_square: np.ndarray) -> np.ndarray:
        distances, _ = faiss.knn_gpu(resources, rows, centres, 1)
        found: np.ndarray = np.maximum(distances[:, 0], 0)
        return found

    return search


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
