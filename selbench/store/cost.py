"""What a stage cost, measured around it, the same way for every method."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Cost = dict[str, float]


@contextmanager
def measure() -> Iterator[Cost]:
    """Fills the dictionary it yields: wall_s, cpu_s (all threads), peak_bytes of this process, gpu_peak_bytes."""
    cost: Cost = {}
    torch = sys.modules.get("torch")
    gpu = torch.cuda if torch and torch.cuda.is_available() else None
    if gpu:
        gpu.reset_peak_memory_stats()
    _reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost["wall_s"] = time.perf_counter() - wall
        cost["cpu_s"] = time.process_time() - cpu
        cost["peak_bytes"] = _peak()
        if gpu:
            cost["gpu_peak_bytes"] = gpu.max_memory_allocated()


def total(costs: list[Cost]) -> Cost:
    """Times add up; of peaks the highest counts."""
    result: Cost = {}
    for cost in costs:
        for name, value in cost.items():
            combine = max if name.endswith("peak_bytes") else float.__add__
            result[name] = combine(result[name], float(value)) if name in result else float(value)
    return result


def _reset_peak() -> None:
    with suppress(OSError):  # Linux only; elsewhere the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    scale = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
