"""Are the verdicts true? False verdicts, coverage and power of the three tests, on simulated boards.

Boards are drawn under a condition. In all of them the noise of settings differs log-normally (by a factor of 1.6 for one
standard deviation); see Condition for what else may differ. Printed are percentages:

- false verdicts at p < .05, not corrected, on boards without any difference: where the condition is special (the noisy
  arm, the task with other noise), and elsewhere
- coverage of the 95 % intervals, where the condition is special (elsewhere, where it is special nowhere)
- tables with any false verdict after correction, joint or (paired and Welch) by Holm's method
- power to see a difference of 2.8 true standard errors, not corrected
- power after correction, where the first arm differs by so much from all others, which are equal; and tables with any
  false verdict about those

    python benchmarks/bench_calibration.py [--seed N] [--into docs/verdicts.md]

Boards are drawn until the Monte-Carlo error of every share of false verdicts is at most 0.7 points (ENOUGH). Printed are the two
tables of docs/verdicts.md; --into writes them there, between the comments that mark their places.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pages import write_between

from selbench.report.build import build_board
from selbench.statistics.cells import Cells
from selbench.statistics.differences import TESTS, Estimates, cell_differences, half_width, p_values
from selbench.statistics.multiplicity import PairTests, corrected
from selbench.statistics.seed_noise import SeedNoise

EFFECT = 2.8  # difference in standard errors that has 80 % power if the variance is known
CORRECTED = 3  # every third table is corrected: that takes most of the time
ENOUGH = 0.007  # Monte-Carlo error at which a share is known well enough
MOST = 6_000  # boards of one condition


@dataclass(frozen=True)
class Condition:
    """How boards are drawn."""

    name: str
    spread: float | None = (
        None  # df of the scaled inverse chi-square by which variances in a setting differ; None: equal
    )
    ratio: float = 1.0  # noise of one arm in multiples of that of the others
    where: Literal["board", "task", "cell"] = "board"  # where that arm is noisy: the first arm, or one cell
    tail: float | None = None  # df of the Student t that scores follow; None: normal
    settings: int = 8
    budgets: int = 3
    arms: int = 6
    measures: int = 1  # tasks; each has units ten times those of the one before
    shared: float = 0.0  # correlation of the arms of a table under one seed
    unshared: int = 0  # so many measures, the last, have no such correlation
    constant: int = 0  # so many measures, the first, have one score throughout
    luck: float = 0.0  # correlation of the scores of an arm under one seed, over all tables
    step: float = 0.0  # scores are rounded to steps of so many mean standard deviations of their measure
    boards: float = 1.0  # how many times as many boards as usual in one batch


CONDITIONS = (
    Condition("equal variances"),
    Condition("cells differ, 10 df", spread=10),
    Condition("cells differ, 4 df", spread=4),
    Condition("cells differ, one arm x 2", spread=4, ratio=2),
    Condition("cells differ, one arm x 3", spread=4, ratio=3),
    Condition("one arm x 3, cells equal", ratio=3),
    Condition("heavy tails, t with 5 df", spread=10, tail=5),
    Condition("heavy tails, t with 3 df", spread=4, tail=3),
    Condition("seeds shared, correlation 0.5", spread=4, shared=0.5),
    Condition("seeds shared, correlation 0.8", spread=4, shared=0.8),
    Condition("4 measures, units 1 to 1000", spread=4, measures=4),
    Condition("2 measures, 1 budget, 4 arms", spread=4, settings=2, budgets=1, arms=4, measures=2, boards=5),
    Condition("1 setting, 2 budgets, 4 arms", spread=4, settings=1, budgets=2, arms=4, boards=5),
    Condition("the same, one arm x 3", spread=4, ratio=3, settings=1, budgets=2, arms=4, boards=5),
    Condition("1 setting, 1 budget, 4 arms", spread=4, settings=1, budgets=1, arms=4, boards=5),
)
_FOUR: dict[str, Any] = {"settings": 4, "measures": 4, "boards": 2.5}
_ONE: dict[str, Any] = {"settings": 1, "budgets": 1, "boards": 10}
# Tables or cells that differ in kind: boards of 4 tasks x 3 budgets x 6 arms unless the name says otherwise.
KINDS = (
    Condition("4 tasks", spread=4, **_FOUR),
    Condition("2 of 4 tasks constant", spread=4, constant=2, **_FOUR),
    Condition("seeds shared 0.9, not in one task", spread=4, shared=0.9, unshared=1, **_FOUR),
    Condition("first arm x 5 in one task", spread=4, ratio=5, where="task", **_FOUR),
    Condition("one cell x 6", spread=4, ratio=6, where="cell", **{**_FOUR, "boards": 10}),
    Condition("one cell x 6, others equal", ratio=6, where="cell", **{**_FOUR, "boards": 10}),
    Condition("seeds shared 0.95", spread=4, shared=0.95, **_FOUR),
    Condition("seeds shared 0.95, cells equal", shared=0.95, **_FOUR),
    Condition("budgets and tasks share luck 0.8", spread=4, luck=0.8, **_FOUR),
    Condition("steps as coarse as the noise", step=1, **_FOUR),
    Condition("1 table, one arm x 3", spread=4, ratio=3, **_ONE),
    Condition("1 table, one arm x 10", spread=4, ratio=10, **_ONE),
    Condition("1 table of 4 arms, one x 3", spread=4, ratio=3, arms=4, **_ONE),
    Condition("1 table of 4 arms, one x 10", spread=4, ratio=10, arms=4, **_ONE),
)


@dataclass(frozen=True)
class Drawn:
    """A simulated board without any true difference."""

    cells: Cells
    sd: np.ndarray  # of each cell's scores over seeds
    shared: np.ndarray  # for each cell, the correlation with the arms of its table under a seed
    special: np.ndarray  # whether it is special under the condition
    live: np.ndarray  # whether its scores vary


@dataclass(frozen=True)
class Figures:
    """What the simulation of one test found, as shares from 0 to 1; NaN where there is nothing to count."""

    false_first: float  # false verdicts where the condition is special
    false_others: float  # false verdicts elsewhere
    coverage: float  # of the 95 % intervals, where the condition is special, or of all
    any_false: float  # tables with any false verdict after correction
    power: float  # to see a difference of EFFECT, elsewhere
    power_corrected: float  # the same after correction, of the first arm against all others
    any_false_partly: float  # tables with any false verdict about the others
    error: dict[str, float] = field(default_factory=dict)  # the Monte-Carlo standard error of each share, over boards
    boards: int = 0  # that were drawn


NAMES = ("false_first", "false_others", "coverage", "any_false", "power", "power_corrected", "any_false_partly")
FALSE = ("false_first", "false_others", "any_false", "any_false_partly")


def simulate(
    condition: Condition, seeds: int, boards: int, rng_seed: int = 0, tests: Sequence[str] = TESTS
) -> dict[str, Figures]:
    """The figures of each test over this many boards, each with this many seeds."""
    found = _rows(condition, seeds, boards, np.random.default_rng(rng_seed), tests)
    return {test: _mean_figures(rows) for test, rows in found.items()}


def simulate_enough(condition: Condition, seeds: int, batch: int, rng_seed: int, enough: float) -> dict[str, Figures]:
    """The same, from as many batches of boards as the errors of the moderated test's false shares need, up to MOST boards.

    The other tests are tried on the first batch only.
    """
    size = round(batch * condition.boards)
    rng = np.random.default_rng([rng_seed, seeds, *condition.name.encode()])
    rows = _rows(condition, seeds, size, rng, TESTS)
    while True:
        figures = _mean_figures(rows["moderated"])
        worst = max(figures.error[name] for name in FALSE if np.isfinite(getattr(figures, name)))
        if worst <= enough or len(rows["moderated"]) >= MOST:
            return {test: _mean_figures(found) for test, found in rows.items()}
        more = _rows(condition, seeds, size, rng, ["moderated"])["moderated"]
        rows["moderated"] = np.concatenate([rows["moderated"], more])


def _rows(
    condition: Condition, seeds: int, boards: int, rng: np.random.Generator, tests: Sequence[str]
) -> dict[str, np.ndarray]:
    """For each test its figures on each board, (boards, names)."""
    found: dict[str, list[list[float]]] = {test: [] for test in tests}
    for _ in range(boards):
        board = draw(condition, seeds, rng)
        for test, row in _figures_of_board(board, condition, tests).items():
            found[test].append(row)
    return {test: np.array(rows) for test, rows in found.items()}


def draw(condition: Condition, seeds: int, rng: np.random.Generator) -> Drawn:
    """A board without any true difference."""
    tables = condition.settings * condition.budgets
    cells = tables * condition.arms
    setting = np.repeat(np.arange(condition.settings), condition.budgets * condition.arms)
    arm = np.tile(np.arange(condition.arms), tables)
    measure = setting % condition.measures
    special = _special_cells(condition, arm, measure)
    variance = np.exp(rng.normal(0, 1, condition.settings))[setting]
    if condition.spread:
        variance = variance * condition.spread / rng.chisquare(condition.spread, cells)
    variance = variance * np.where(special, condition.ratio**2, 1.0)
    shape = (cells, seeds)
    noise = rng.normal(size=shape)
    if condition.tail:
        noise = rng.standard_t(condition.tail, shape) * np.sqrt((condition.tail - 2) / condition.tail)
    if condition.luck:
        lucky = rng.normal(size=(condition.arms, seeds))[arm]
        noise = np.sqrt(1 - condition.luck) * noise + np.sqrt(condition.luck) * lucky
    sd = np.sqrt(variance) * 10.0**measure
    table = np.repeat(np.arange(tables), condition.arms)
    together = rng.normal(size=(tables, seeds))[table]
    shared = np.where(measure < condition.measures - condition.unshared, condition.shared, 0.0)
    noise = np.sqrt(1 - shared)[:, None] * noise + np.sqrt(shared)[:, None] * together
    live = measure >= condition.constant
    scores = np.where(live[:, None], noise * sd[:, None], 1.0)
    if condition.step:
        step = condition.step * np.array([sd[measure == one].mean() for one in range(condition.measures)])[measure]
        scores = np.round(scores / step[:, None] + rng.random(condition.measures)[measure][:, None]) * step[:, None]
    # One model: a budget is one training for all settings, if they differ in the measure only.
    training = np.tile(np.repeat(np.arange(condition.budgets), condition.arms), condition.settings)
    origin = setting // condition.measures
    board = Cells(
        scores, np.zeros(cells, bool), setting, table, arm, measure, origin, origin * condition.budgets + training
    )
    return Drawn(board, sd, shared, special | (shared < condition.shared), live)


def _special_cells(condition: Condition, arm: np.ndarray, measure: np.ndarray) -> np.ndarray:
    if condition.where == "cell":
        return np.asarray(np.arange(len(arm)) == 1)
    if condition.where == "task":
        return np.asarray((arm == 0) & (measure == 0))
    return np.asarray((arm == 0) & (condition.ratio != 1))


def _figures_of_board(board: Drawn, condition: Condition, tests: Sequence[str]) -> dict[str, list[float]]:
    """The figures of each test on one board, in the order of NAMES."""
    cells, sd, arms = board.cells, board.sd, condition.arms
    i, j = np.triu_indices(arms, 1)
    tables = len(cells.fixed) // arms
    a, b = (((np.arange(tables) * arms)[:, None] + side).ravel() for side in (i, j))
    special = board.special[a] | board.special[b]
    table = np.repeat(np.arange(tables), len(i))
    apart = sd[a] ** 2 + sd[b] ** 2 - 2 * board.shared[a] * sd[a] * sd[b]
    effect = EFFECT * np.sqrt(apart / cells.seeds[a])
    first = np.tile(i == 0, tables)
    # The first arm of each table is moved by the effect on the mean of its comparisons.
    moved = np.repeat(np.sqrt((effect.reshape(tables, -1)[:, : arms - 1] ** 2).mean(1)), len(i)) * first
    noise, rows = SeedNoise(cells), {}
    for test in tests:
        said = cell_differences(cells, a, b, test, noise)  # type: ignore[arg-type]
        se = np.sqrt(said.variance)
        p = p_values(said.mean, se, said.df)
        known = board.live[a] & ~np.isnan(p)
        covered = np.abs(said.mean) <= half_width(se, said.df, 0.95)
        seen = p_values(said.mean + effect, se, said.df) < 0.05
        there, elsewhere = known & special, known & ~special
        some = known & (table % (tables if condition.where == "cell" else CORRECTED) == 0)
        plain = _verdicts(said, said.mean, a, b, table, first, some, test)
        shifted = _verdicts(said, said.mean + moved, a, b, table, first, some, test)
        rows[test] = [
            _share(p[there] < 0.05),
            _share(p[elsewhere] < 0.05),
            _share(covered[there if there.any() else known]),
            _any_share(plain, table[some]),
            _share(seen[elsewhere if elsewhere.any() else known]),
            _share(shifted[first[some]]),
            _any_share(shifted & ~first[some], table[some]),
        ]
    return rows


def _verdicts(
    said: Estimates, mean: np.ndarray, a: np.ndarray, b: np.ndarray, table: np.ndarray, first: np.ndarray,
    some: np.ndarray, test: str,
) -> np.ndarray:  # fmt: skip
    """Which of `some` comparisons are verdicts after correction; the first arm is the baseline."""
    se = np.sqrt(said.variance)
    p = p_values(mean, se, said.df)
    statistic = np.abs(mean) / np.where(se > 0, se, np.nan)
    p = np.where(some, p, np.nan)
    tests = PairTests(a, b, table, first, np.zeros(len(a), bool), statistic, said.df, p, said.sides)
    return np.asarray(corrected(tests, "joint" if test == "moderated" else "holm-table").p[some] < 0.05)


def _share(found: np.ndarray) -> float:
    return float(found.mean()) if len(found) else float("nan")


def _any_share(found: np.ndarray, table: np.ndarray) -> float:
    return _share(np.array([found[table == one].any() for one in np.unique(table)]))


def _mean_figures(rows: np.ndarray) -> Figures:
    counts = np.isfinite(rows).sum(0)
    mean = np.divide(np.nansum(rows, 0), counts, out=np.full(len(NAMES), np.nan), where=counts > 0)
    around = np.nansum((rows - mean) ** 2, 0) / np.maximum(counts - 1, 1)
    error = np.sqrt(around / np.maximum(counts, 1))
    return Figures(**dict(zip(NAMES, map(float, mean))), error=dict(zip(NAMES, map(float, error))), boards=len(rows))


class SimulatedItems:
    """Stands in for the item files of runs: the values of each run's items."""

    def __init__(self, values: dict[str, pd.Series[Any]]) -> None:
        self._values = values

    def of(self, run: str, suite: str) -> pd.Series[Any] | None:
        return self._values.get(run)


def item_board(
    rng: np.random.Generator,
    seeds: int,
    seed_sd: float,
    item_sd: float,
    items: int = 200,
    tables: int = 6,
    arms: int = 4,
) -> tuple[pd.DataFrame, SimulatedItems]:
    """Scores that are means over the items of two tasks. Arms differ on items only by chance: their true means are equal."""
    index = pd.MultiIndex.from_product([["t0", "t1"], range(items // 2)], names=["task", "item"])
    rows, values = [], {}
    for table in range(tables):
        for arm in range(arms):
            own = rng.normal(0, item_sd * np.sqrt(items), items)
            for seed in range(seeds):
                run = f"{table}-{arm}-{seed}"
                answers = own + rng.normal(0, 1, items) + rng.normal(0, seed_sd)
                values[run] = pd.Series(answers, index=index)
                rows.append(
                    {"suite": "s", "model": f"m{table // 2}", "budget": str(table % 2), "amount": table % 2 + 1.0,
                     "selector": "random" if arm == 0 else f"a{arm}", "seed": seed, "score": answers.mean(), "run": run}
                )  # fmt: skip
    return pd.DataFrame(rows), SimulatedItems(values)


def simulate_items(seeds: int, boards: int, seed_sd: float, item_sd: float, rng_seed: int = 0) -> tuple[float, float]:
    """The share of false verdicts, not corrected, on boards with items, and its Monte-Carlo standard error."""
    rng, shares = np.random.default_rng(rng_seed), []
    for _ in range(boards):
        scores, items = item_board(rng, seeds, seed_sd, item_sd)
        board = build_board(scores, items, correction="none")  # type: ignore[arg-type]
        shares.append(np.mean([pair.verdict != "tied" for table in board.tables for pair in table.pairs]))
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(boards))


SEEDS = (2, 3, 5)
UNCORRECTED = (
    "| condition | false there | elsewhere | coverage | power | paired | Welch | boards |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
)
AFTER_CORRECTION = (
    "| condition | any false, none differs | any false, the first differs | power | paired | Welch |",
    "|---|---:|---:|---:|---:|---:|",
)


def uncorrected_row(condition: Condition, found: Sequence[dict[str, Figures]]) -> str:
    """A row of the table of single comparisons; a value for each number of seeds."""
    one = [figures["moderated"] for figures in found]
    cells = [
        _shares([figures.false_first for figures in one], above=0.06),
        _shares([figures.false_others for figures in one], above=0.06),
        _shares([figures.coverage for figures in one], below=0.94),
        *(_shares([figures[test].power for figures in found], digits=0) for test in TESTS),
        " / ".join(str(figures.boards) for figures in one),
    ]
    return f"| {condition.name} | " + " | ".join(cells) + " |"


def corrected_row(condition: Condition, found: Sequence[dict[str, Figures]]) -> str:
    """A row of the table of verdicts after correction; a value for each number of seeds."""
    one = [figures["moderated"] for figures in found]
    cells = [
        _shares([figures.any_false for figures in one], above=0.06),
        _shares([figures.any_false_partly for figures in one], above=0.06),
        *(_shares([figures[test].power_corrected for figures in found], digits=0) for test in TESTS),
    ]
    return f"| {condition.name} | " + " | ".join(cells) + " |"


def _shares(shares: Sequence[float], above: float = np.inf, below: float = -np.inf, digits: int = 1) -> str:
    """Shares in percent, bold beyond a limit; empty where there is nothing to count."""
    if np.isnan(shares).all():
        return ""
    # As it is printed, so that a bold figure is beyond the limit for the reader too.
    rounded = [round(100 * share, digits) for share in shares]
    said = [f"{share:.{digits}f}" for share in rounded]
    return " / ".join(
        f"**{text}**" if share > 100 * above or share < 100 * below else text for text, share in zip(said, rounded)
    )


def _condition_figures(task: tuple[Condition, int, int, int, float]) -> dict[str, Figures]:
    from side_by_side import limit_threads

    limit_threads(1)
    condition, seeds, batch, rng_seed, enough = task
    return simulate_enough(condition, seeds, batch, rng_seed, enough)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few boards, to see whether it runs at all")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn boards (default 0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="conditions whose name holds this")
    parser.add_argument("--into", type=Path, help="the page whose tables are replaced")
    options = parser.parse_args()
    batch, enough = (3, 1.0) if options.quick else (60, ENOUGH)
    conditions = [one for one in (*CONDITIONS, *KINDS) if not options.only or options.only in one.name]
    tasks = [(one, seeds, batch, options.seed, enough) for one in conditions for seeds in SEEDS]
    single, after = list(UNCORRECTED), list(AFTER_CORRECTION)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = pool.imap(_condition_figures, tasks)
        for condition in conditions:
            figures = [next(found) for _ in SEEDS]
            single.append(uncorrected_row(condition, figures))
            after.append(corrected_row(condition, figures))
            print(single[-1], "\n   ", after[-1], flush=True)
    for name, rows in (("single comparisons", single), ("after correction", after)):
        print("\n" + "\n".join(rows), flush=True)
        if options.into:
            write_between(options.into, name, "\n".join(rows) + "\n")
    if options.only:
        return
    print("\nmoderated, with items (standard deviations of the mean from seeds / from items): false verdicts")
    for seeds in SEEDS:
        for seed_sd, item_sd in ((1.0, 0.0), (1.0, 0.3), (1.0, 1.0), (0.3, 1.0)):
            share, error = simulate_items(seeds, 5 if options.quick else 60, seed_sd, item_sd, options.seed)
            print(f"{seeds:2} seeds  {seed_sd} / {item_sd}: {100 * share:.1f} ± {100 * error:.1f}", flush=True)


if __name__ == "__main__":
    main()
