"""Are the verdicts true? False verdicts, coverage and power of the three tests, on simulated boards.

Boards are drawn under a condition. In all of them the noise of settings differs log-normally (by a factor of 1.6 for one
standard deviation); see Condition for what else may differ. Printed are percentages:

- false verdicts at p < .05, not corrected, on boards without any difference: of the first arm against the others, and
  of the other arms against each other
- coverage of the 95 % intervals
- tables with any false verdict after Holm's correction
- power to see a difference of 2.8 true standard errors

The measured figures are in docs/verdicts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from selbench.report.build import build_board
from selbench.statistics.differences import TESTS, Cells, cell_differences, half_width, p_values
from selbench.statistics.multiplicity import adjust_p_values

EFFECT = 2.8  # difference in standard errors that has 80 % power if the variance is known


@dataclass(frozen=True)
class Condition:
    """How boards are drawn."""

    name: str
    spread: float | None = (
        None  # df of the scaled inverse chi-square by which variances in a setting differ; None: equal
    )
    ratio: float = 1.0  # noise of the first arm in multiples of that of the others
    tail: float | None = None  # df of the Student t that scores follow; None: normal
    settings: int = 8
    budgets: int = 3
    arms: int = 6
    measures: int = 1  # each has units ten times those of the one before
    shared: float = 0.0  # correlation of the arms of a table under one seed


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
    Condition("2 measures, 1 budget, 4 arms", spread=4, settings=2, budgets=1, arms=4, measures=2),
    Condition("1 setting, 2 budgets, 4 arms", spread=4, settings=1, budgets=2, arms=4),
    Condition("the same, one arm x 3", spread=4, ratio=3, settings=1, budgets=2, arms=4),
    Condition("1 setting, 1 budget, 4 arms", spread=4, settings=1, budgets=1, arms=4),
)


@dataclass(frozen=True)
class Figures:
    """What the simulation of one test found, as shares from 0 to 1."""

    false_first: float  # false verdicts, the first arm against the others
    false_others: float  # false verdicts, the other arms against each other
    coverage: float  # of the 95 % intervals
    any_false: float  # tables with any false verdict after Holm's correction
    power: float  # to see a difference of EFFECT
    error: dict[str, float]  # the Monte-Carlo standard error of each share, over boards


def simulate(
    condition: Condition, seeds: int, boards: int, rng_seed: int = 0, tests: Sequence[str] = TESTS
) -> dict[str, Figures]:
    """The figures of each test over this many boards, each with this many seeds."""
    rng = np.random.default_rng(rng_seed)
    found: dict[str, list[list[float]]] = {test: [] for test in tests}
    for _ in range(boards):
        cells, sd = draw(condition, seeds, rng)
        for test, row in _figures_of_board(cells, sd, condition.arms, condition.shared, tests).items():
            found[test].append(row)
    return {test: _mean_figures(np.array(rows)) for test, rows in found.items()}


def draw(condition: Condition, seeds: int, rng: np.random.Generator) -> tuple[Cells, np.ndarray]:
    """A board without any true difference, and the true standard deviation of each of its cells."""
    tables = condition.settings * condition.budgets
    cells = tables * condition.arms
    setting = np.repeat(np.arange(condition.settings), condition.budgets * condition.arms)
    arm = np.tile(np.arange(condition.arms), tables)
    measure = setting % condition.measures
    variance = np.exp(rng.normal(0, 1, condition.settings))[setting] * np.where(arm == 0, condition.ratio**2, 1.0)
    if condition.spread:
        variance = variance * condition.spread / rng.chisquare(condition.spread, cells)
    shape = (cells, seeds)
    noise = rng.normal(size=shape)
    if condition.tail:
        noise = rng.standard_t(condition.tail, shape) * np.sqrt((condition.tail - 2) / condition.tail)
    sd = np.sqrt(variance) * 10.0**measure
    table = np.repeat(np.arange(tables), condition.arms)
    together = rng.normal(size=(tables, seeds))[table]
    noise = np.sqrt(1 - condition.shared) * noise + np.sqrt(condition.shared) * together
    board = Cells(noise * sd[:, None], np.zeros(cells, bool), setting, table, arm, measure)
    return board, sd


def _figures_of_board(
    cells: Cells, sd: np.ndarray, arms: int, shared: float, tests: Sequence[str]
) -> dict[str, list[float]]:
    """The figures of each test on one board, in the order of the fields of Figures."""
    i, j = np.triu_indices(arms, 1)
    tables = len(cells.fixed) // arms
    a, b = (((np.arange(tables) * arms)[:, None] + side).ravel() for side in (i, j))
    table = np.repeat(np.arange(tables), len(i))
    first = np.tile(i == 0, tables)
    apart = sd[a] ** 2 + sd[b] ** 2 - 2 * shared * sd[a] * sd[b]
    effect = EFFECT * np.sqrt(apart / cells.seeds[a])
    borrowed, rows = cells.borrowed(), {}
    for test in tests:
        said = cell_differences(cells, a, b, test, borrowed)  # type: ignore[arg-type]
        se = np.sqrt(said.variance)
        p = p_values(said.mean, se, said.df)
        covered = np.abs(said.mean) <= half_width(se, said.df, 0.95)
        holm = adjust_p_values(p, table, "holm-table").p
        rows[test] = [
            float(np.mean(p[first] < 0.05)),
            float(np.mean(p[~first] < 0.05)) if (~first).any() else np.nan,
            float(covered.mean()),
            float(np.mean([(holm[table == one] < 0.05).any() for one in range(tables)])),
            float(np.mean(p_values(said.mean + effect, se, said.df) < 0.05)),
        ]
    return rows


def _mean_figures(rows: np.ndarray) -> Figures:
    names = ("false_first", "false_others", "coverage", "any_false", "power")
    error = rows.std(0, ddof=1) / np.sqrt(len(rows))
    return Figures(*map(float, rows.mean(0)), error=dict(zip(names, map(float, error))))


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


def main() -> None:
    from side_by_side import parse_options

    options = parse_options(__doc__ or "")
    boards = 5 if options.quick else 60
    print("false: first arm / other pairs; coverage; any false verdict in a table after Holm; power. Percent.")
    for seeds in (2, 3, 5, 10):
        for condition in CONDITIONS:
            small = condition.settings * condition.budgets < 5
            figures = simulate(condition, seeds, boards * (5 if small else 1))
            cells = "   ".join(
                f"{test}: {100 * one.false_first:4.1f}/{100 * one.false_others:4.1f} {100 * one.coverage:5.1f} "
                f"{100 * one.any_false:4.1f} {100 * one.power:4.0f}"
                for test, one in figures.items()
            )
            print(f"{seeds:2} seeds  {condition.name:30} {cells}", flush=True)
    print("moderated, with items (standard deviations of the mean from seeds / from items): false verdicts")
    for seeds in (2, 3, 5):
        for seed_sd, item_sd in ((1.0, 0.0), (1.0, 0.3), (1.0, 1.0), (0.3, 1.0)):
            share, error = simulate_items(seeds, 5 if options.quick else 60, seed_sd, item_sd)
            print(f"{seeds:2} seeds  {seed_sd} / {item_sd}: {100 * share:.1f} ± {100 * error:.1f}", flush=True)


if __name__ == "__main__":
    main()
