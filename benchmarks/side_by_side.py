"""Times several ways of doing one thing in turns, and prints how they compare."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping


def parse_options(description: str) -> argparse.Namespace:
    """Parse the options that all benchmarks share, and limit the number of threads accordingly."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small inputs, to see whether it runs at all")
    parser.add_argument("--repeats", type=int, default=3, help="how often each way is timed (default 3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of BLAS, FAISS and torch (default: all)")
    parser.add_argument(
        "--cpu", action="store_true", help="measure processor time, for a busy machine; use with --threads 1"
    )
    parser.add_argument(
        "--apricot", action="store_true", help="bench_coverage only: compare with apricot too (minutes)"
    )
    options = parser.parse_args()
    limit_threads(options.threads)
    return options


def limit_threads(count: int) -> None:
    """Set the number of threads of NumPy's BLAS, FAISS and torch."""
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(count)
    torch.set_num_threads(count)


def time_ways(
    ways: Mapping[str, Callable[[], object]],
    ours: str,
    options: argparse.Namespace,
    unit: Mapping[str, float] | None = None,
) -> None:
    """Time every way in turns, so that a busy moment affects all alike, and print a table.

    The ratio is a way's time divided by that of `ours` in the same turn: median, least and most over turns. `unit` is a
    rate to print and the amount of work in one call, such as {"tokens/s": 120000}.
    """
    clock = time.process_time if options.cpu else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            start = clock()
            way()
            seconds[name].append(clock() - start)
    rates = list((unit or {}).items())
    what = "cpu seconds" if options.cpu else "seconds"
    print(f"{'':44}{what:>12}{'ratio':>9}{'least':>8}{'most':>8}" + "".join(f"{name:>12}" for name, _ in rates))
    for name, taken in seconds.items():
        ratio = sorted(a / b for a, b in zip(taken, seconds[ours]))
        middle = statistics.median(taken)
        cells = f"{middle:12.3f}{statistics.median(ratio):9.2f}{ratio[0]:8.2f}{ratio[-1]:8.2f}"
        print(f"{name:44}{cells}" + "".join(f"{amount / middle:12,.0f}" for _, amount in rates))
    load = os.getloadavg()[0]
    busy = load > 1.2 * (os.cpu_count() or 1) and not options.cpu
    print(
        f"load average {load:.1f} on {os.cpu_count()} cores{', busy: repeat it on a quiet machine' if busy else ''}\n"
    )
