"""The share of a machine that one of several processes takes: its threads, and a GPU for itself."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

# What tells libraries (PyTorch, FAISS, NumPy, Numba, tokenizers) how many threads to use, read when they are loaded.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
GPUS = "CUDA_VISIBLE_DEVICES"
# Libraries that are told by a function once they are loaded.
LOADED = {"torch": "set_num_threads", "faiss": "omp_set_num_threads"}
_gpu: list[BaseFileLock] = []  # the lock of the GPU that this process has; it holds it until it ends


def threads_of(cores: int, at_once: int, environ: Mapping[str, str]) -> int:
    """The threads of one of `at_once` processes: what OMP_NUM_THREADS or SLURM says, else its share of the cores."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        if environ.get(name, "").isdigit() and int(environ[name]) > 0:
            return int(environ[name])
    return max(1, cores // max(1, at_once))


def use_threads(threads: int) -> None:
    """Let the libraries of this process, and of those that it starts, use so many threads; a variable that is set stays."""
    for name in THREADS:
        os.environ.setdefault(name, str(threads))
    for library, function in LOADED.items():
        if library in sys.modules:
            getattr(sys.modules[library], function)(threads)


def take_gpu(gpus: Sequence[str], at_once: int, say: Callable[[str], None], folder: Path | None = None) -> str | None:
    """Take one of the machine's GPUs for this process until it ends, and let it see no other. None where there is none.

    Args:
        gpus: the GPUs, as CUDA_VISIBLE_DEVICES names them.
        at_once: how many processes share the GPUs; where they are more than GPUs, some GPUs have several.
        say: called with a sentence while no GPU is free, because another command has them.
        folder: where the locks are; by default one that all commands of this user on this machine share.
    """
    if not gpus or _gpu:
        return os.environ.get(GPUS) if gpus else None
    folder = folder or Path(tempfile.gettempdir()) / f"selbench-gpus-{os.getuid() if hasattr(os, 'getuid') else 0}"
    folder.mkdir(parents=True, exist_ok=True)
    # First one process for each GPU, then a second for each.
    slots = [(gpu, place) for place in range(math.ceil(at_once / len(gpus))) for gpu in gpus]
    told = False
    while True:
        for gpu, place in slots:
            lock = FileLock(folder / f"{gpu.replace('/', '_')}.{place}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _gpu.append(lock)
            os.environ[GPUS] = gpu
            return gpu
        if not told:
            say(f"waiting for a GPU: other commands have all of {', '.join(gpus)}")
            told = True
        time.sleep(1.0)
