"""Comparing two runs, or two arms over their common seeds: scores, items, selections, costs, settings.

Differences are above 0 if a is better, whatever the metric; they are paired by item and, for arms, by seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.comparison.overlap import Overlap, selection_overlap
from selbench.comparison.score_differences import Answers, Changes, ScoreDifference, common_tasks, score_differences
from selbench.comparison.sides import Side
from selbench.errors import UserError
from selbench.numbers import UNKNOWN, count_text
from selbench.report.board import Difference
from selbench.report.build import build_board
from selbench.report.notes import drawn_once_sentences
from selbench.report.tidy import runs_table
from selbench.settings import without_effect
from selbench.store.axes import require_distinct_labels
from selbench.store.item_scores import ItemScores
from selbench.store.newest import current_results
from selbench.store.outputs import Outputs
from selbench.store.records import Record

if TYPE_CHECKING:
    import pandas as pd

NAMED = 5  # how many tasks a note names
STAGES = ("selection", "training", "evaluation")


@dataclass(frozen=True)
class Comparison:
    """Everything that `selbench compare` says."""

    a: Side
    b: Side
    scores: tuple[ScoreDifference, ...]  # suites and their tasks
    changes: tuple[Changes, ...]  # one per suite with item-level results
    items: pd.DataFrame  # suite, task, item, a, b, difference: means over seeds
    overlap: Overlap | None  # of the selections; None if they cannot be compared
    costs: dict[str, tuple[float, float]]  # name -> mean per run of a and of b
    settings: dict[str, tuple[str, str]]  # option -> value of a and of b, where they differ
    verdicts: dict[str, Difference]  # suite -> difference of the two arms on the leaderboard; empty for single runs
    notes: tuple[str, ...] = ()  # sentences on what limits the comparison

    def plain(self) -> dict[str, Any]:
        """The comparison as values that JSON can hold: NaN becomes None, and only items that changed are listed."""
        return {
            **{name: _side_as_json(side) for name, side in (("a", self.a), ("b", self.b))},
            "scores": [_finite_as_json(dataclasses.asdict(row)) for row in self.scores],
            "items": [dataclasses.asdict(row) for row in self.changes],
            "changed": self.items[self.items["difference"] != 0].to_dict("records"),
            "selection": None if self.overlap is None else _finite_as_json(dataclasses.asdict(self.overlap)),
            "costs": {name: _finite_as_json({"a": a, "b": b}) for name, (a, b) in self.costs.items()},
            "settings": {name: {"a": a, "b": b} for name, (a, b) in self.settings.items()},
            "verdicts": {suite: _finite_as_json(dataclasses.asdict(found)) for suite, found in self.verdicts.items()},
            "notes": list(self.notes),
        }


def compare_sides(
    a: Side,
    b: Side,
    outputs: Path,
    among: Sequence[Record] = (),
    pool_size: int | None = None,
    suite: str | None = None,
) -> Comparison:
    """The comparison of both sides, from their records and the files beside them in the output folder `outputs`.

    `among` are the records of the leaderboard that two arms belong to: its verdict is corrected for all its pairs, and
    borrows the noise of seeds from all its cells. `pool_size` (examples) is needed for the overlap by chance; `suite`
    limits the comparison to one suite. Raises UserError if the sides have no suite in common, or not `suite`.
    """
    suites = _common_suites(a, b, suite)
    runs = Outputs(outputs).records.root
    items = ItemScores(runs, [*a.records, *b.records, *among])
    scores: list[ScoreDifference] = []
    lacking: dict[str, list[str]] = {}
    changes, tables, notes = [], [], _comparison_notes(a, b, suites)
    for name in suites:
        lacking[name] = _lacking_tasks(name, a, b)
        notes += lacking[name]
        answers = Answers.of(name, a, b, items)
        scores += score_differences(name, a, b, answers)
        if answers is None:
            notes.append(f"{name}: {_why_no_answers(name, a, b, items)}, so nothing is known of the noise of items.")
            continue
        changes.append(answers.changes())
        tables.append(answers.table())
        if answers.left_out:
            notes.append(
                f"{name}: {count_text(answers.left_out)} items were answered on one side only and are left out."
            )
    if left_out := current_results(among).sentence():
        notes.append(left_out)
    if a.seeds != (None,):  # two arms, with an interval over their seeds
        notes += drawn_once_sentences((side.name, record) for side in (a, b) for record in side.records)
    # The board's verdict on a suite is over all tasks of an arm, and not over those that both arms have.
    whole = [name for name in suites if not lacking[name]]
    verdicts = _board_verdicts(a, b, whole, among, items)
    return Comparison(
        a,
        b,
        tuple(_as_on_board(row, verdicts) for row in scores),
        tuple(changes),
        _stacked_items(tables),
        selection_overlap(a, b, runs, pool_size),
        _mean_costs(a, b),
        _differing_settings(a, b),
        verdicts,
        tuple(notes),
    )


def _why_no_answers(suite: str, a: Side, b: Side, items: ItemScores) -> str:
    """What keeps the answers of two sides from being compared item by item."""
    for side in (a, b):
        for record in side.records:
            if why := items.why_none(record.key, suite):
                return f"{record.name} ({record.key}) {why}"
    values = [items.of(record.key, suite) for side in (a, b) for record in side.records]
    if any(column is not None and column.index.has_duplicates for column in values):
        return "several items have one id"
    return "the two sides have item-level results, but of different items"


def _lacking_tasks(suite: str, a: Side, b: Side) -> list[str]:
    """A sentence for each side that lacks tasks which the other has: they are no part of the comparison."""
    common = common_tasks(suite, a, b)
    scored = {side.name: [{row.task for row in record.headlines(suite)} for record in side.records] for side in (a, b)}
    every = {task for runs in scored.values() for tasks in runs for task in tasks}
    found = []
    for name, runs in scored.items():
        lacking = sorted({task for tasks in runs for task in every - tasks})
        if lacking:
            named = ", ".join(lacking[:NAMED]) + (f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else "")
            found.append(
                f"{suite}: {name} has no score on {named}; {len(common)} of the {len(every)} tasks are compared."
            )
    return found


def _common_suites(a: Side, b: Side, wanted: str | None) -> list[str]:
    own = [set.intersection(*({row.suite for row in r.scores} for r in side.records)) for side in (a, b)]
    common = sorted(own[0] & own[1])
    if not common:
        one, other = (", ".join(sorted(names)) or "(none)" for names in own)
        raise UserError(f"the two have no suite in common: {a.name} has {one}; {b.name} has {other}.")
    if wanted is not None and wanted not in common:
        raise UserError(f"suite '{wanted}' is not on both sides. In common: {', '.join(common)}.")
    return [wanted] if wanted else common


def _comparison_notes(a: Side, b: Side, suites: Sequence[str]) -> list[str]:
    notes = []
    for name in suites:
        if not a.setting.shares_suite(b.setting, name):
            notes.append(f"{name}: its settings, data or code differ between the two, so the scores may not compare.")
    if not a.setting.shares_pool(b.setting):
        notes.append("the two selected from different pools.")
    if len(a.seeds) == 1:
        notes.append("one seed: intervals know the noise of items only, not what another seed would change.")
    return notes


def _board_verdicts(
    a: Side, b: Side, suites: Sequence[str], among: Sequence[Record], items: ItemScores
) -> dict[str, Difference]:
    """Suite -> the leaderboard's difference of the two arms, turned to a minus b; empty if `among` is."""
    if not among:
        return {}
    require_distinct_labels(record.axes for record in current_results(among).records)
    runs = [{record.key for record in side.records} for side in (a, b)]
    found: dict[str, Difference] = {}
    for table in build_board(runs_table(among), items).tables:
        names = [next((row.arm for row in table.rows if set(row.runs) & own), None) for own in runs]
        for pair in table.pairs:
            if table.setting["suite"] in suites and names in ([pair.a, pair.b], [pair.b, pair.a]):
                found[table.setting["suite"]] = pair if names == [pair.a, pair.b] else pair.turned()
    return found


def _as_on_board(row: ScoreDifference, verdicts: Mapping[str, Difference]) -> ScoreDifference:
    """The row of a whole suite with interval, p and standard errors of the leaderboard, if that has the two arms."""
    found = verdicts.get(row.suite)
    if row.task or found is None:
        return row
    return dataclasses.replace(
        row, low=found.low, high=found.high, p=found.p, se=found.se, se_seed=found.se_seed, se_item=found.se_item
    )


def _stacked_items(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    columns = ["suite", "task", "item", "a", "b", "difference"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _mean_costs(a: Side, b: Side) -> dict[str, tuple[float, float]]:
    """Name -> mean per run of both sides: seconds of each stage, size of the selection, training steps."""
    found = {f"{stage} s": (_mean_recorded(a, "cost", stage), _mean_recorded(b, "cost", stage)) for stage in STAGES}
    found["total s"] = tuple(float(np.nansum([pair[i] for pair in found.values()])) for i in (0, 1))  # type: ignore[assignment]
    for name in ("examples", "response_tokens", "leaked"):
        found[name.replace("_", " ")] = _mean_recorded(a, "selection", name), _mean_recorded(b, "selection", name)
    found["training steps"] = (
        _mean_recorded(a, "logged", "training/steps"),
        _mean_recorded(b, "logged", "training/steps"),
    )
    return {name: pair for name, pair in found.items() if not all(map(math.isnan, pair))}


def _mean_recorded(side: Side, part: str, name: str) -> float:
    """The mean over a side's records of `name` in their field `part`; of a stage's cost, its seconds; NaN if unknown."""
    values = []
    for record in side.records:
        about = getattr(record, part)
        value = about.get(name) if isinstance(about, Mapping) else getattr(about, name)
        values.append(value.get("wall_s", math.nan) if isinstance(value, Mapping) else value)
    numbers = [float(value) for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else math.nan


def _differing_settings(a: Side, b: Side) -> dict[str, tuple[str, str]]:
    """Option, named as on the command line -> its values on both sides, for the options that differ."""
    flat = [dict(_flat_settings(side.records[0].config)) for side in (a, b)]
    names = sorted({*flat[0], *flat[1]})
    found = {name: (str(flat[0].get(name, UNKNOWN)), str(flat[1].get(name, UNKNOWN))) for name in names}
    return {
        name: pair
        for name, pair in found.items()
        if pair[0] != pair[1] and name.split(".")[0] not in _settings_left_aside(a)
    }


def _settings_left_aside(side: Side) -> Sequence[str]:
    """The options left out of the settings that differ; for single runs the seed is not left out."""
    single = side.seeds == (None,) and len(side.records) == 1
    return without_effect() if single else ("seed", *without_effect())


def _flat_settings(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in config.items():
        rows += _flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return rows


def _side_as_json(side: Side) -> dict[str, Any]:
    return {"name": side.name, "runs": [record.key for record in side.records], "seeds": list(side.seeds)}


def _finite_as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
