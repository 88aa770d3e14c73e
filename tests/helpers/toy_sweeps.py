"""A small sweep with a plugin of a folder that has a helper beside it, and the leaderboard that it gives."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from helpers.toy_runs import TOYS, toy_settings

FIRST = """
from helper_beside import in_order, stay_if_first
from selbench.api import Selection, selector

@selector("first_ones", stochastic=True)  # so that no two cells share a selection
class FirstOnes:
    '''The first examples, found by a helper beside this file.'''
    def select(self, pool, budget, context):
        stay_if_first(budget.limit)
        return in_order(pool, budget)
"""
HELPER = """
import os, socket, time
from pathlib import Path
from selbench.api import Selection

def in_order(pool, budget):
    return Selection.ordered(range(len(pool)), budget)

def stay_if_first(limit):
    '''In a folder named by the environment, note where each call is; the first call then stays for ten minutes.'''
    if folder := os.environ.get("TEST_CALLS"):
        call = len([*Path(folder).iterdir()])
        (Path(folder) / f"{call}").write_text(f"{socket.gethostname()} {os.getpid()} {limit}")
        if call == 0 or os.environ.get("TEST_STAY") == "always":
            time.sleep(600)
"""
GRID = ["selector=random,first_ones", "seed=0,1", "budget=4"]
CELLS, ARMS = 4, 2


def toy_sweep(model: Path, pool: Path, folder: Path, outputs: Path, grid: Sequence[str] = GRID) -> list[str]:
    """What is typed after `selbench`; the plugins are written into the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "first.py").write_text(FIRST)
    (folder / "helper_beside.py").write_text(HELPER)
    settings = [text for text in toy_settings(model, pool, outputs) if not text.startswith("plugin_path")]
    return ["-m", f"plugin_path=[{TOYS},{folder}]", *settings, *grid]


def board(outputs: Path) -> list[dict[str, str]]:
    """The last leaderboard as it is kept, all digits, without the seconds that things took."""
    path = max((outputs / "reports").glob("*.csv"), key=lambda path: path.stat().st_mtime)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]
