"""The cost of a stage, measured around it in the same way for every method."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

Cost = dict[str, float]  # wall_s, cpu_s (seconds), peak_bytes, gpu_peak_bytes; and flops where a plugin logs them
FLOPS = "flops"  # the name under which a plugin logs its estimate of the stage's floating-point operations


# The costs of the stages that are being measured now, outermost first. What a stage inside another takes is added to the
# outer one's entry, and taken off the outer one's cost: it is not counted twice.
_open: ContextVar[tuple[Cost, ...]] = ContextVar("open stages", default=())


@contextmanager
def measure() -> Iterator[Cost]:
    """Yield a dictionary that holds the cost of the block once it has ended, also if the block raises.

    wall_s and cpu_s (of all threads) are seconds, without those of measurements inside the block; peak_bytes is the
    peak memory of this process, gpu_peak_bytes that of torch on a GPU, both outside the measurements inside the block.
    """
    cost: Cost = {}
    inside: Cost = {"wall_s": 0.0, "cpu_s": 0.0}
    outer = _open.get()
    token = _open.set((*outer, inside))
    if outer:  # its peak so far, which the block must not raise and the counters are about to forget
        outer[-1].update(_peaks(outer[-1]))
    _reset_peaks()
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
        cost.update(_peaks(inside))
        if outer:
            _reset_peaks()


def total_cost(costs: list[Cost]) -> Cost:
    """The cost of several stages: times and operations add up, of peaks the highest counts."""
    result: Cost = {}
    for cost in costs:
        for name, value in cost.items():
            combine = max if name.endswith("peak_bytes") else float.__add__
            result[name] = combine(result[name], float(value)) if name in result else float(value)
    return result


def device_kind() -> str | None:
    """The kind of device that this process computes on: cuda, mps or cpu; None before torch has been imported."""
    torch = sys.modules.get("torch")
    if not torch:
        return None
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _peaks(before: Cost) -> Cost:
    """The peaks since they were last reset, or those `before` where they are higher."""
    torch = sys.modules.get("torch")
    now = {"peak_bytes": _peak_bytes()}
    if torch and torch.cuda.is_available():
        now["gpu_peak_bytes"] = float(torch.cuda.max_memory_allocated())
    return {name: max(value, before.get(name, 0.0)) for name, value in now.items()}


def _reset_peaks() -> None:
    """Let the peak memory start anew: of this process on Linux only, elsewhere the peak since its start is reported."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> float:
    """The peak resident memory of this process in bytes."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in kilobytes elsewhere
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)
