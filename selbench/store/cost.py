"""What a stage cost, measured around it, the same way for every method."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

Cost = dict[str, float]
FLOPS = "flops"  # what a plugin logs under this name is its estimate of the stage's floating-point operations


# The stages being measured just now, outermost first: a stage computed inside another is not counted twice.
_open: ContextVar[tuple[Cost, ...]] = ContextVar("open stages", default=())


@contextmanager
def measure() -> Iterator[Cost]:
    """Fills the dictionary it yields: wall_s and cpu_s (all threads) without those of stages measured inside;
    peak_bytes of this process, gpu_peak_bytes."""
    cost: Cost = {}
    inside: Cost = {"wall_s": 0.0, "cpu_s": 0.0}
    outer = _open.get()
    token = _open.set((*outer, inside))
    torch = sys.modules.get("torch")
    gpu = torch.cuda if torch and torch.cuda.is_available() else None
    if gpu:
        gpu.reset_peak_memory_stats()
    _reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        _open.reset(token)
        spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        for name, value in spent.items():
            cost[name] = value - inside[name]
            if outer:
                outer[-1][name] += value
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
