"""Is what a board and a plan call detectable detected? The power of corrected verdicts at the stated difference.

Boards of one or several tables are drawn without any difference. The board's value: one arm of every table is then moved away
from the baseline by what another such board has stated for it, and the share of verdicts is counted. The plan's value:
it is moved by what the plan states for boards of this shape, from a spread that past runs have estimated. Both
should be 80 %. Noise is the same in all cells, or it differs between them (scaled inverse chi-square with 4 degrees
of freedom); in a condition, the same cell is always as noisy.

    python benchmarks/bench_detectable.py [--boards N] [--correction joint]

The measured figures are in docs/planning.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bench_calibration import SimulatedItems, item_board
from scipy import stats

from selbench.report.build import build_board
from selbench.statistics.foreseen import foreseen_effect

PAST_DF = 8  # degrees of freedom of the past spread that the plan knows
ITEMS = 200
PLANS = 9  # how many such spreads are tried, of equal chance


@dataclass(frozen=True)
class Shape:
    """What kind of board is drawn."""

    arms: int
    tables: int
    seeds: int
    differ: bool = False  # whether cells differ in their noise


@dataclass(frozen=True)
class Power:
    """Shares of verdicts at the stated differences."""

    board: float  # at the board's value
    typical: float  # at the median of the boards' values
    plan: float  # at the plan's value
    detectable: float  # the median of the boards' values, in standard deviations of a score
    trials: int


def simulate(shape: Shape, boards: int, correction: str = "joint", rng_seed: int = 0) -> Power:
    """The power at what boards of this shape, and plans for them, call detectable."""
    rng = np.random.default_rng(rng_seed)
    spread = np.sqrt(4 / rng.chisquare(4, (shape.tables, shape.arms))) if shape.differ else np.ones((1, 1))
    spread = np.broadcast_to(spread, (shape.tables, shape.arms))
    draws = [rng.normal(size=(shape.tables, shape.arms, shape.seeds)) * spread[:, :, None] for _ in range(boards)]
    stated = np.array([_stated(draw, correction) for draw in draws])
    # A board's own value is tried on another board, as a new experiment would.
    own = [_found(draw, stated[i - 1], correction) for i, draw in enumerate(draws)]
    typical = np.broadcast_to(np.nanmedian(stated, axis=0), stated[0].shape)
    middle = [_found(draw, typical, correction) for draw in draws]
    known = float(np.sqrt((spread[:, :2] ** 2).mean()))
    planned = []
    for past in np.sqrt(stats.chi2.ppf((np.arange(PLANS) + 0.5) / PLANS, PAST_DF) / PAST_DF):
        size = foreseen_effect(
            shape.arms, shape.tables, shape.seeds, measures=shape.tables, known_df=PAST_DF, correction=correction
        )
        planned.append(np.full(shape.tables, known * past * size))
    plan = [_found(draw, planned[i % PLANS], correction) for i, draw in enumerate(draws)]
    return Power(
        *(float(np.mean(part)) for part in (own, middle, plan)), float(np.nanmedian(stated)), boards * shape.tables
    )


def _board(scores: np.ndarray, correction: str) -> dict[tuple[int, str], Any]:
    """(table, arm) -> the difference to the baseline."""
    tables, arms, seeds = scores.shape
    names = ["random", *(f"arm{i}" for i in range(1, arms))]
    rows = pd.MultiIndex.from_product([range(tables), names, range(seeds)], names=["task", "selector", "seed"])
    frame = pd.Series(scores.ravel(), rows, name="score").reset_index()
    board = build_board(frame.assign(task=frame["task"].astype(str)), correction=correction)
    return {(int(t.setting["task"]), row.arm): row.vs_baseline for t in board.tables for row in t.rows}


def _stated(scores: np.ndarray, correction: str) -> np.ndarray:
    """What the board calls detectable between the first arm and the baseline: one value a table."""
    found = _board(scores, correction)
    return np.array([found[table, "arm1"].detectable for table in range(len(scores))])


def _found(scores: np.ndarray, by: np.ndarray, correction: str) -> list[bool]:
    """For each table, whether there is a verdict on the first arm if it is moved `by` so much.

    A correction over the whole board gets one difference at a time: with several, each is easier to find.
    """
    whole = correction in ("holm", "bh")
    moved = np.nan_to_num(by, nan=np.inf)
    found = []
    for places in [[table] for table in range(len(scores))] if whole else [range(len(scores))]:
        shifted = scores.copy()
        for table in places:
            shifted[table, 1] += min(moved[table], 1e6)
        verdicts = _board(shifted, correction)
        found += [verdicts[table, "arm1"].verdict == "better" for table in places]
    return found


def simulate_items(
    seeds: int, seed_sd: float, item_sd: float, boards: int, arms: int = 4, tables: int = 6, rng_seed: int = 0
) -> tuple[float, float]:
    """The power at the plan's value on boards with items, if the plan knows their noise, and if it leaves it out.

    Each score is the mean of 200 items, whose values have a standard deviation of 1 within an arm; `seed_sd` and `item_sd`
    are those of the mean from other seeds and from other items.
    """
    rng = np.random.default_rng(rng_seed)
    spread = np.sqrt(seed_sd**2 + 1 / ITEMS)
    known = [
        spread * foreseen_effect(arms, tables, seeds, items=noise)
        for noise in (2 * item_sd**2 / spread**2, 0.0)  # a difference has the noise of two arms
    ]
    found: tuple[list[bool], list[bool]] = ([], [])
    for _ in range(boards):
        scores, values = item_board(rng, seeds, seed_sd, item_sd, ITEMS, tables, arms)
        for size, verdicts in zip(known, found):
            moved = scores["selector"] == "a1"
            shifted = scores.assign(score=scores["score"] + size * moved)
            items = SimulatedItems(
                {run: values.of(run, "s") + size * up for run, up in zip(scores["run"], moved)}  # type: ignore[operator]
            )
            board = build_board(shifted, items)  # type: ignore[arg-type]
            verdicts += [
                row.vs_baseline.verdict == "better"
                for table in board.tables
                for row in table.rows
                if row.arm == "a1" and row.vs_baseline
            ]
    return float(np.mean(found[0])), float(np.mean(found[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=200, help="boards of one table; fewer of several")
    parser.add_argument("--correction", default="joint")
    parser.add_argument("--arms", type=int, nargs="+", default=[4, 10])
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 6])
    args = parser.parse_args()
    print(f"correction: {args.correction}; percent of verdicts at the stated difference (should be 80)")
    print("arms  tables  seeds  noise   board's  its median  plan's  detectable [sd]  trials")
    for arms in args.arms:
        for tables in args.tables:
            for seeds in (2, 3, 5):
                for differ in (False, True):
                    boards = max(args.boards // tables, 20)
                    found = simulate(Shape(arms, tables, seeds, differ), boards, args.correction)
                    print(
                        f"{arms:4}  {tables:6}  {seeds:5}  {'differs' if differ else 'equal  '} {100 * found.board:6.1f}  "
                        f"{100 * found.typical:10.1f}  {100 * found.plan:6.1f}  {found.detectable:15.2f}  {found.trials:6}",
                        flush=True,
                    )

    print(
        "with items (standard deviation of a mean from seeds / from items): the plan knows their noise, or leaves it out"
    )
    for seeds in (2, 3, 5):
        for seed_sd, item_sd in ((0.05, 0.03), (0.05, 0.05), (0.05, 0.1)):
            with_items, without = simulate_items(seeds, seed_sd, item_sd, max(args.boards // 6, 20))
            print(f"{seeds:2} seeds  {seed_sd} / {item_sd}: {100 * with_items:.0f}, {100 * without:.0f}", flush=True)


if __name__ == "__main__":
    main()
