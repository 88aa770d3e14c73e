"""Distances to the nearest centre on a GPU, through faiss, where one of its GPU builds and a device are there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache

import numpy as np

# rows (R x d), their squared lengths (R), centres (C x d), their squared lengths (C) -> R squared distances
NearestSearch = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]

BUILDS = ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")


@cache
def nearest_on_gpu() -> NearestSearch | None:
    """The search on the first GPU; None without a GPU build (faiss-cpu is not even imported) or without a device.

    Exact, in float32, as on the CPU; picks whose distances differ by less than float32 can tell may change places.
    """
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
