"""From a tidy table of scores to the board: all pairs of arms are tested, and the results put into rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from selbench.errors import UserError, unknown
from selbench.report.aggregates import arm_aggregates, critical_ranks
from selbench.report.arms import Arms, arrange_arms
from selbench.report.board import INTERVALS, ArmRow, Board, Difference, Intervals, Table, Verdict
from selbench.report.counts import verdict_counts
from selbench.report.notes import board_notes, board_warnings
from selbench.report.pairs import Measured, Pairs, Tested, make_pairs, oriented_values, tested_pairs
from selbench.report.tidy import ARM, BASELINE, COSTS, SETTING
from selbench.statistics import differences
from selbench.statistics.differences import TESTS, Test
from selbench.statistics.multiplicity import CORRECTIONS, Correction, PairTests
from selbench.store.item_scores import ItemScores

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]


def build_board(
    scores: pd.DataFrame,
    items: ItemScores | None = None,
    *,
    tasks: pd.DataFrame | None = None,
    baseline: str = BASELINE,
    test: str = "moderated",
    correction: str = "joint",
    confidence: float = 0.95,
    intervals: str = "corrected",
) -> Board:
    """The board of tidy `scores` (of `tidy.runs_table` or `plain_scores.read_scores`).

    `items` gives the item-level results of the runs that have them; `tasks` (of `tidy.task_table`) breaks suites into
    tasks for the aggregates. `test` is moderated, paired or welch (see statistics.differences), `correction` is joint,
    none, holm-table, holm or bh (see statistics.multiplicity). A verdict needs an adjusted p below 1 - confidence.
    `intervals` chooses which are shown: corrected, simultaneous or plain. Raises UserError for an unknown choice.
    """
    if test not in TESTS:
        raise UserError(unknown("test", test, TESTS))
    if correction not in CORRECTIONS:
        raise UserError(unknown("correction", correction, CORRECTIONS))
    if intervals not in INTERVALS:
        raise UserError(unknown("intervals", intervals, INTERVALS))
    if not 0.5 <= confidence < 1:
        raise UserError(f"confidence is {confidence}: give a share from 0.5 to below 1, such as 0.95.")
    if scores.empty:
        return Board(baseline, test, correction, confidence, (), intervals=cast(Intervals, intervals))
    arms = arrange_arms(scores)
    pairs = make_pairs(arms, baseline)
    found, measured = tested_pairs(arms, pairs, items, cast(Test, test), cast(Correction, correction), confidence)
    tables = _BoardRows(arms, pairs, found, measured).tables()
    blocks = tables if tasks is None or tasks.empty else _task_tables(tasks, baseline)
    return Board(
        baseline=baseline,
        test=test,
        correction=correction,
        confidence=confidence,
        tables=tables,
        aggregates=arm_aggregates(tables, blocks, baseline, confidence),
        critical=critical_ranks(blocks, confidence),
        counts=verdict_counts(pairs, found, arms, correction, 1 - confidence),
        warnings=board_warnings(tables, baseline),
        notes=board_notes(arms, found, measured, test, correction, confidence),
        intervals=cast(Intervals, intervals),
    )


def _task_tables(tasks: pd.DataFrame, baseline: str) -> tuple[Table, ...]:
    """The tables of single tasks with scores only: ranks and means over tasks need no tests of their own."""
    arms = arrange_arms(tasks)
    pairs = make_pairs(arms, baseline)
    nothing = np.full(len(pairs.a), np.nan)
    plain = differences.cell_differences(arms.cells, arms.unit[pairs.a], arms.unit[pairs.b], "welch")
    tied = np.zeros(len(nothing), dtype=np.int64)
    found = Tested(
        mean=oriented_values(arms, pairs, plain.mean), se=nothing, se_seed=nothing, se_item=nothing, seeds=plain.seeds,
        half=nothing, half_corrected=nothing, half_simultaneous=nothing, p=nothing, adjusted=nothing, verdict=tied,
        exact=tied > 0, detectable=nothing, seeds_needed=nothing, borrowed_df=nothing,
        tests=PairTests(pairs.a, pairs.b, pairs.table, pairs.primary, pairs.reference, nothing, nothing, nothing),
    )  # fmt: skip
    alone = differences.cell_means(arms.cells, "welch")
    unknown_noise = np.full(len(arms.units), np.nan)
    measured = Measured(
        alone.mean,
        se=unknown_noise,
        se_seed=unknown_noise,
        se_item=unknown_noise,
        half=unknown_noise,
        seeds=alone.seeds,
        outlying=np.zeros(len(arms.units), dtype=bool),
        constant=np.zeros(len(arms.units), dtype=bool),
    )
    return _BoardRows(arms, pairs, found, measured).tables()


class _BoardRows:
    """Turns the arrays of the tests into the tables and rows of the board."""

    def __init__(self, arms: Arms, pairs: Pairs, found: Tested, measured: Measured) -> None:
        self._arms, self._pairs, self._found, self._measured = arms, pairs, found, measured
        self._labels = arms.units["label"].to_numpy()[arms.unit]
        self._units: list[dict[Any, Any]] = arms.units.to_dict("records")
        self._better, self._worse = self._better_and_worse()

    def tables(self) -> tuple[Table, ...]:
        return tuple(self._board_table(number, budget) for number, budget in enumerate(self._arms.budgets))

    def _better_and_worse(self) -> tuple[Ints, Ints]:
        """For every place, how many arms of its budget are better by verdict, and how many are worse."""
        verdict, pairs = self._found.verdict * ~self._pairs.reference, self._pairs
        better, worse = np.zeros(len(self._arms.unit), np.int64), np.zeros(len(self._arms.unit), np.int64)
        np.add.at(better, pairs.b, verdict > 0)
        np.add.at(worse, pairs.a, verdict > 0)
        np.add.at(better, pairs.a, verdict < 0)
        np.add.at(worse, pairs.b, verdict < 0)
        return better, worse

    def _board_table(self, number: int, budget: str) -> Table:
        places = np.flatnonzero(self._arms.table == number)
        here = np.flatnonzero(self._pairs.table == number)
        against = {}
        for pair in map(int, here[self._pairs.baseline[here] != 0]):
            above = self._pairs.baseline[pair] > 0
            place = self._pairs.a[pair] if above else self._pairs.b[pair]
            found = self._pair_difference(pair)
            against[int(place)] = found if above else found.turned()
        unit = self._units[self._arms.unit[places[0]]]
        full = [self._measured.mean[self._arms.unit[p]] for p in places if self._labels[p].lower() == "full"]
        ranked = int((~self._arms.reference[places]).sum())
        return Table(
            setting={name: unit[name] for name in SETTING},
            budget=budget,
            higher_is_better=bool(unit["higher_is_better"]),
            rows=tuple(self._arm_row(int(place), ranked, against.get(int(place)), full) for place in places),
            pairs=tuple(self._pair_difference(int(pair)) for pair in here),
            all_equal=bool(self._arms.equal_tables[number]),
        )

    def _arm_row(self, place: int, ranked: int, against: Difference | None, full: list[float]) -> ArmRow:
        number = int(self._arms.unit[place])
        unit, reference = self._units[number], bool(self._arms.reference[place])
        found = self._measured
        score, half = float(found.mean[number]), float(found.half[number])
        return ArmRow(
            arm=str(self._labels[place]),
            **{name: unit[name] for name in ARM},
            amount=float(unit["amount"]),
            score=score,
            low=score - half,
            high=score + half,
            se=float(found.se[number]),
            se_seed=float(found.se_seed[number]),
            se_item=float(found.se_item[number]),
            seeds=int(found.seeds[number]),
            rank_low=0 if reference else 1 + int(self._better[place]),
            rank_high=0 if reference else ranked - int(self._worse[place]),
            reference=reference,
            outlying=bool(found.outlying[number]),
            constant=bool(found.constant[number]),
            vs_baseline=against,
            relative_to_full=score / full[0] - 1 if full and full[0] and not math.isnan(full[0]) else math.nan,
            **_arm_costs(unit),
            leaked=None if math.isnan(unit["leaked"]) else round(unit["leaked"]),
            runs=tuple(run for _, run in sorted(self._arms.runs[number].items()) if run),
        )

    def _pair_difference(self, pair: int) -> Difference:
        found = self._found
        a, b = (str(self._labels[places[pair]]) for places in (self._pairs.a, self._pairs.b))
        mean, half = float(found.mean[pair]), float(found.half[pair])
        agreeing, together = float(found.half_corrected[pair]), float(found.half_simultaneous[pair])
        needed = found.seeds_needed[pair]
        return Difference(
            a=a,
            b=b,
            mean=mean,
            low=mean - half,
            high=mean + half,
            low_corrected=mean - agreeing,
            high_corrected=mean + agreeing,
            low_simultaneous=mean - together,
            high_simultaneous=mean + together,
            p=float(found.p[pair]),
            p_adjusted=float(found.adjusted[pair]),
            verdict=_VERDICTS[int(found.verdict[pair])],
            se=float(found.se[pair]),
            se_seed=float(found.se_seed[pair]),
            se_item=float(found.se_item[pair]),
            seeds=int(found.seeds[pair]),
            detectable=float(found.detectable[pair]),
            seeds_needed=None if math.isnan(needed) else int(needed),
        )


def _arm_costs(unit: dict[Any, Any]) -> dict[str, Any]:
    return {name: float(unit[name]) for name in COSTS if name != "leaked"}


_VERDICTS: dict[int, Verdict] = {1: "better", -1: "worse", 0: "tied"}
