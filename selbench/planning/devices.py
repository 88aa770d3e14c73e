"""How much memory the device of this machine has, found out without loading torch."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from selbench.placement import gpu_is_here

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class _NvmlMemory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def device_bytes(gpu: bool | None = None) -> float | None:
    """The bytes of the first GPU that PyTorch would use, or without one those of main memory; None if they are not known.

    `gpu` says which is meant; None: the GPU if there is one.
    """
    return _gpu_bytes() if (gpu_is_here() if gpu is None else gpu) else main_bytes()


def main_bytes() -> float | None:
    """The main memory, or the limit of the container that this process is in."""
    try:
        physical = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # no POSIX
        return None
    limits = [_whole_number(Path(file)) for file in CGROUP_LIMITS]
    return min([physical, *(limit for limit in limits if limit)])


def _whole_number(file: Path) -> float | None:
    try:
        return float(int(file.read_text()))
    except (OSError, ValueError):  # no such file; "max", which is no limit
        return None


def _gpu_bytes() -> float | None:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        driver = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        device, memory = ctypes.c_void_p(), _NvmlMemory()
        found = driver.nvmlInit_v2() == 0 and (
            driver.nvmlDeviceGetHandleByIndex_v2(int(first), ctypes.byref(device)) == 0
            if first.isdigit()
            else driver.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(device)) == 0
        )
        known = found and driver.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0
    except (OSError, AttributeError):  # no driver, or one without these functions
        return None
    return float(memory.total) if known else None
