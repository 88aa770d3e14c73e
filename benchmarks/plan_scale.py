"""What a thousand cells on a pool of six million rows take, by `selbench plan`: the tables of docs/scale.md.

    python benchmarks/plan_scale.py [--plan plan.json] [--into docs/scale.md]

Without --plan, the plan is made first, which takes minutes. --into writes the tables between the comments that mark their
places.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pages import write_between

# A GPU of the H100 class at 40 % of its dense bfloat16 peak, at a price of ours, and 64 of them.
SETTINGS = ["experiment=scale", "--tflops", "400", "--price", "2.50", "--workers", "64"]
KINDS = ("tokens", "lengths", "leaks", "autoencoder", "features", "selection", "training", "evaluation", "total")
MODELS = ("llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-2-13b")
BUDGETS = ("10000", "30000", "100000", "300000", "1000000")


def plan() -> dict[str, Any]:
    """The plan, made in an empty output folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from selbench.cli.main import main; main()", "plan", "-m", *SETTINGS]
        ran = subprocess.run([*command, f"output_dir={folder}", "--json"], stdout=subprocess.PIPE, check=False)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def stages_table(plan: Mapping[str, Any]) -> list[str]:
    """One row a kind of stage: how many, tokens, GPU-hours, money and disk."""
    totals = {row["stage"]: row for row in plan["totals"]}
    return [
        _row(["stage", "to run", "tokens", "hours", "price", "disk"]),
        "|---|---:|---:|---:|---:|---:|",
        *(
            _row(
                [
                    kind,
                    f"{row['to_run']:,}",
                    f"{row['tokens'] / 1e9:,.1f}G" if row["tokens"] else "–",
                    f"{row['seconds'] / 3600:,.1f}",
                    f"{row['money']:,.0f}",
                    f"{row['bytes'] / 1e9:,.1f} GB",
                ]
            )
            for kind in KINDS
            if (row := totals.get(kind))
        ),
    ]


def features_table(plan: Mapping[str, Any]) -> list[str]:
    """One row a distinct feature of the pool; those that follow the seed are counted."""
    rows: dict[tuple[str, float, float, float], int] = defaultdict(int)
    for stage in plan["stages"]:
        if stage["stage"] in ("features", "autoencoder"):
            name = stage["label"].partition(" of ")[0]
            rows[name, stage["tokens"], stage["seconds"], stage["bytes"]] += 1
    return [
        _row(["feature", "times", "tokens read", "hours", "disk"]),
        "|---|---:|---:|---:|---:|",
        *(
            _row([name, times, f"{tokens / 1e9:.2f}G" if tokens else "–", f"{s / 3600:.1f}", f"{size / 1e9:.1f} GB"])
            for (name, tokens, s, size), times in rows.items()
        ),
    ]


def training_table(plan: Mapping[str, Any]) -> list[str]:
    """Hours of fine-tuning by model and budget, over methods and seeds, and the memory of one."""
    hours: dict[tuple[str, str], float] = defaultdict(float)
    memory: dict[str, float] = {}
    for stage in plan["stages"]:
        if stage["stage"] == "training":
            words = stage["label"].split()
            model = next(word for word in words if word in MODELS)
            hours[model, next(word for word in words if word in BUDGETS)] += stage["seconds"] / 3600
            memory[model] = stage["memory"]
    return [
        _row(["model", *(f"{int(budget):,}" for budget in BUDGETS), "memory of one"]),
        "|---|" + "---:|" * (len(BUDGETS) + 1),
        *(
            _row([model, *(f"{hours[model, budget]:,.0f} h" for budget in BUDGETS), f"{memory[model] / 1e9:.1f} GB"])
            for model in MODELS
        ),
    ]


def waves_text(plan: Mapping[str, Any]) -> list[str]:
    """The two waves on 64 GPUs."""
    waves = plan["waves"]
    first, second = waves["stages_s"] / 3600, waves["cells_s"] / 3600
    return [
        f"On {waves['workers']} GPUs: {waves['stages']} shared stages in {first:.1f} hours, then {waves['cells']:,} cells in "
        f"{second:,.0f} hours ({second / 24:.0f} days)."
    ]


TABLES = {"stages": stages_table, "features": features_table, "training": training_table, "waves": waves_text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plan", type=Path, help="what `selbench plan ... --json` wrote; else it is made now")
    parser.add_argument("--into", type=Path, help="the page whose tables are replaced")
    options = parser.parse_args()
    found = json.loads(options.plan.read_text()) if options.plan else plan()
    for name, make in TABLES.items():
        text = "\n".join(make(found)) + "\n"
        print(text)
        if options.into:
            write_between(options.into, name, text)


if __name__ == "__main__":
    main()
