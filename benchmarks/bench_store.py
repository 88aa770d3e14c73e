"""The work that a grid does compared with the work it needs, and the cost of planning it and of a fully cached rerun.

    python benchmarks/bench_store.py [--size 400] [--limit 5] [--outputs DIR]

The grid has 5 selectors x 3 budgets x 2 models x 3 seeds on the planted pool. The work ratio is the number of stages
executed divided by the number of distinct stages needed. Without reuse every cell would do all of its stages itself; that
cost is summed from the measured cost of each stage. Times are processor and wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from selbench.store.inventory import entries, stage_path
from selbench.store.records import Records
from selbench.store.stages import EXECUTED, Store

GRID = [
    "selector=random,longest,kcenter_tfidf,mads,sae_greedselect",
    "budget=0.05,0.1,0.2",
    "model=planted-1m,planted-4m",
    "seed=0,1,2",
]

MAIN = "from selbench.cli.main import main; main()"


def time_command(*arguments: str) -> tuple[float, float]:
    """Wall and processor seconds of one selbench command; its output is shown only if it fails."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400, help="examples in the pool (default 400)")
    parser.add_argument("--limit", type=int, default=5, help="items per task (default 5)")
    parser.add_argument("--outputs", type=Path, help="output folder (default: a new temporary one)")
    options = parser.parse_args()
    outputs = options.outputs or Path(tempfile.mkdtemp(prefix="bench-store-"))
    settings = [
        *GRID, f"pool.size={options.size}", f"suite.planted.limit={options.limit}", "tracking=none",
        f"output_dir={outputs}",
    ]  # fmt: skip
    planned = time_command("plan", "-m", *settings)
    first = time_command("-m", *settings)
    again = time_command("-m", *settings)
    planned_again = time_command("plan", "-m", *settings)
    print_work_ratio(outputs)
    cells = 90
    print(f"{'':34}{'wall s':>10}{'cpu s':>10}{'wall s a cell':>16}")
    for name, (wall, cpu) in {
        "plan, nothing cached": planned,
        "the grid": first,
        "the grid again, all cached": again,
        "plan, all cached": planned_again,
    }.items():
        print(f"{name:34}{wall:10.1f}{cpu:10.1f}{wall / cells:16.3f}")


def print_work_ratio(outputs: Path) -> None:
    """Print the work ratio, and what the reuse of stages saved."""
    records, store = Records(outputs / "runs").all(), Store(outputs / "store")
    executed = [json.loads(line) for line in (outputs / "store" / EXECUTED).read_text().splitlines()]
    needed = [
        entry for entry in entries(store.root, records) if entry.runs
    ]  # used by a run, directly or through other stages
    kinds = Counter(stage["kind"] for stage in executed)
    alone, seconds = 0, 0.0
    for record in records:
        for label, name in record.stages.items():
            path = stage_path(store.root, label, name)
            stage = store.recall(path.parent.name, name)
            alone, seconds = alone + 1, seconds + (stage.cost["wall_s"] if stage else 0.0)
    spent = sum(stage["wall_s"] for stage in executed)
    print(f"{len(records)} runs; stages executed {len(executed)} {dict(kinds)}, needed {len(needed)}")
    print(f"work ratio {len(executed) / len(needed):.2f}")
    print(f"without reuse {alone} stages; {seconds:.0f} s instead of {spent:.0f} s, {seconds / spent:.2f} x\n")


if __name__ == "__main__":
    main()
