"""From a tidy table of scores to the arms of each table of a board: which arms it has, in which order, with which seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selbench.report.tidy import ARM, COSTS, NO_SEED, SETTING
from selbench.statistics.cells import Cells, row_means
from selbench.store.axes import arm_name

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
# Scores of one arm, seed and budget that agree in these may come from one trained model.
ORIGIN = ["comparison", "pool", "pool_key", "model", "trainer", "trainer_key", "match"]


@dataclass(frozen=True)
class Arms:
    """All U arms of a board, and their C places in its tables.

    An arm without a budget has a place in every table of its setting, so there are more places than arms. The places
    of a table are neighbours, the best arm first.
    """

    units: pd.DataFrame  # U rows: SETTING, ARM, label, amount, higher_is_better, COSTS, fixed, setting
    cells: Cells  # the scores of the U arms over seeds
    runs: list[dict[int, str]]  # for each of the U arms: column of the seed in `cells` -> key of the run
    unit: Ints  # for each place, the row of its arm in `units`
    table: Ints  # for each place, the number of its table
    reference: NDArray[np.bool_]  # for each place, whether its arm has no budget while others in the table have one
    budgets: list[str]  # for each table, its budget as shown; empty if no arm has one

    @cached_property
    def equal_tables(self) -> NDArray[np.bool_]:
        """For each table, whether it has several arms and all their scores are one number, up to rounding."""
        found = np.zeros(len(self.budgets), dtype=bool)
        for number in range(len(found)):
            scores = self.cells.scores[self.unit[self.table == number]]
            known = scores[np.isfinite(scores)]
            found[number] = len(scores) > 1 and bool(known.size) and np.ptp(known) <= 1e-9 * np.abs(known).max()
        return found


def arrange_arms(scores: pd.DataFrame) -> Arms:
    """The arms of `scores`, a tidy table (see `tidy.runs_table`); columns that it lacks count as empty."""
    table = scores.assign(**{name: "" for name in [*SETTING, *ARM, "run"] if name not in scores})
    table = table.assign(**{name: np.nan for name in [*COSTS, "amount"] if name not in table})
    if "higher_is_better" not in table:
        table["higher_is_better"] = True
    keys = [*SETTING, *ARM]
    table[keys] = table[keys].fillna("").astype(str)
    groups = table.groupby(keys, sort=False)
    arm = groups.ngroup().to_numpy()
    columns = {name: "mean" for name in COSTS} | {"amount": "first", "higher_is_better": "first", "seed": "max"}
    units: Any = groups.agg(columns).reset_index()
    several = units["target"].where(units["target"] != "").nunique() > 1
    units["label"] = [
        arm_name(row.selector, row.scorer, row.model, row.target if several else "") for row in units.itertuples()
    ]
    units["fixed"] = units.pop("seed") == NO_SEED
    units["setting"] = units.groupby(SETTING, sort=False).ngroup()

    seeds, column = np.unique(table["seed"].to_numpy(), return_inverse=True)
    values = np.full((len(units), len(seeds)), np.nan)
    values[arm, column] = table["score"]
    fixed = units["fixed"].to_numpy()
    values[fixed] = row_means(values[fixed])[:, None]
    runs: list[dict[int, str]] = [{} for _ in range(len(units))]
    for row, place, run in zip(arm, column, table["run"]):
        runs[row][int(place)] = str(run)
    unit, number, reference, budgets = _table_places(units, row_means(values))
    own = units.groupby(["setting", "budget"], sort=False).ngroup().to_numpy()
    names = units.groupby("label", sort=False).ngroup().to_numpy()
    measure = units.groupby(["suite", "suite_key", "task", "metric"], sort=False).ngroup().to_numpy()
    origin = units.groupby(ORIGIN, sort=False).ngroup().to_numpy()
    training = units.groupby([*ORIGIN, "budget"], sort=False).ngroup().to_numpy()
    cells = Cells(values, fixed, units["setting"].to_numpy(), own, names, measure, origin, training)
    return Arms(units, cells, runs, unit, number, reference, budgets)


def _table_places(units: pd.DataFrame, means: NDArray[np.float64]) -> tuple[Ints, Ints, NDArray[np.bool_], list[str]]:
    """`unit`, `table`, `reference` and `budgets` of Arms: settings as they come, small budgets first, best arms first."""
    good = np.where(units["higher_is_better"].to_numpy(dtype=bool), means, -means)
    unit, table, reference = [], [], []
    budgets: list[str] = []
    for _, part in units.groupby("setting", sort=False):
        # Arms without a budget stand in the table of every budget, or, if no arm has one, in a single table.
        free = part[part["budget"] == ""]
        limited = part[part["budget"] != ""].sort_values("amount", kind="stable")
        for budget in limited["budget"].unique() if len(limited) else [""]:
            rows = np.concatenate([limited.index[limited["budget"] == budget], free.index]).astype(np.int64)
            rows = rows[np.argsort(-good[rows], kind="stable")]
            unit.append(rows)
            table.append(np.full(len(rows), len(budgets)))
            reference.append((units["budget"].to_numpy()[rows] == "") & (budget != ""))
            budgets.append(str(budget))
    return np.concatenate(unit), np.concatenate(table), np.concatenate(reference), budgets
