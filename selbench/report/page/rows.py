"""The verdict table: a row per arm and table, its cells as text with the value to sort by, and the row's details."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selbench.numbers import UNKNOWN, count_text, decimals, flops_text, is_known, p_text, percent_text, seconds_text
from selbench.report.board import ArmRow, Table
from selbench.report.page.sentences import is_tested, verdict_word
from selbench.report.page.source import Source, rankable, spread
from selbench.report.page.typeset import interval_text, number_text, signed_percent_text, signed_text
from selbench.report.words import says_something
from selbench.store.records import Record

FILTERS = ("pool", "model", "budget", "suite", "task", "selector")
MARKS = {"better": "▲", "worse": "▼", "tied": "="}
# The words of a setting that get a column where they vary.
_WORDS = ("model", "suite", "task", "metric", "pool", "trainer", "match", "comparison")
_COUNTS = (
    *("examples", "response_tokens", "trained", "cut", "dropped", "tokens_trained", "tokens_fit", "steps"),
    *("items_cut", "items_left_out"),
)
SEEDS_LIMIT = 10_000  # the board looks no further


@dataclass(frozen=True)
class Column:
    """A column of the verdict table; `kind` is also its cells' class."""

    name: str
    label: str
    about: str
    kind: str = "number"


@dataclass(frozen=True)
class Bar:
    """A point with its interval, and where zero lies if it is in sight: places from 0 to 100."""

    low: float
    at: float
    high: float
    zero: float | None = None


@dataclass(frozen=True)
class Cell:
    """`text` with `below` in small print; `sort` is a number, a word, or None where nothing is known."""

    text: str
    sort: float | str | None
    below: str = ""
    bar: Bar | None = None
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One arm in one table: `filters` are what the menus and the text filter look at."""

    id: str
    cells: tuple[Cell, ...]
    filters: dict[str, str]
    verdict: str
    first: bool


def verdict_columns(source: Source) -> list[Column]:
    """The columns that this board needs: one that would say the same in every row, or nothing, is left out."""
    board = source.board
    baseline, level = board.baseline, percent_text(board.confidence)
    rows = [row for table in board.tables for row in table.rows]
    words = [word for word in _WORDS if word in source.varied]
    found = [
        Column("arm", "Method", "Open a row for its runs, settings and how to reproduce them.", "arm"),
        Column("budget", "Budget", "Share, examples or response tokens (tok) selected.", "text"),
        *(Column(word, word.capitalize(), "", "text") for word in words),
        Column("rank", "Rank", "From best to worst place that the tests allow; ties share ranks.", "rank"),
        Column("verdict", f"Against {baseline}", "Verdict after correction for multiple comparisons.", "verdict"),
        Column("score", "Score", f"Mean over seeds; the bar spans {source.spread}.", "score"),
        Column("difference", f"Difference to {baseline}", f"With its {level} interval; above zero is better.", "score"),
        Column("seeds", "Seeds", "Runs behind the score."),
        Column("detectable", "Detectable", "Smallest difference that these seeds show at 80 % power."),
        Column("needed", "Seeds needed", "Seeds per arm that would show the difference found."),
    ]
    for name, label, about in (
        ("examples", "Examples", "Selected examples."),
        ("response_tokens", "Response tokens", "Tokens of the selected responses."),
        ("trained", "Trained", "Examples trained on."),
        ("cut", "Cut", "Examples longer than the training context."),
        ("dropped", "Dropped", "Examples of which no response is left within the training context."),
        ("tokens_trained", "Tokens trained on", "Response tokens in the loss of the whole training, all epochs."),
        ("tokens_fit", "Tokens an epoch", "Response tokens in the loss of one pass over the selected examples."),
        ("steps", "Steps", "Optimiser steps."),
        ("items_cut", "Items cut", "Test items of which some text does not fit into the model."),
        ("items_left_out", "Items left out", "Test items that are not in the score."),
        ("selection_s", "Selecting [s]", "Wall-clock seconds, features included."),
        ("training_s", "Training [s]", "Wall-clock seconds."),
    ):
        if any(says_something(row, name) for row in rows):
            found.append(Column(name, label, about))
    return found


def verdict_rows(source: Source) -> list[Row]:
    """Every arm of every table, in the board's order."""
    names = [column.name for column in verdict_columns(source)]
    found = []
    for i, table in enumerate(source.board.tables):
        places = decimals(row.score for row in table.rows)
        scores = _score_range([(row.score, *spread(row)) for row in rankable(table)])
        differences = [row.vs_baseline for row in rankable(table) if row.vs_baseline]
        reach = _largest_distance([(item.low, item.mean, item.high) for item in differences])
        for j, row in enumerate(table.rows):
            cells = _row_cells(source, table, row, places, scores, reach)
            found.append(
                Row(
                    id=f"r{i}-{j}",
                    cells=tuple(cells[name] for name in names),
                    filters=_filter_words(table, row),
                    verdict=_verdict_kind(row),
                    first=j == 0,
                )
            )
    return found


def filter_menus(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The values of each filter that has more than one; arms without a budget match any."""
    menus = {name: list(dict.fromkeys(row.filters[name] for row in rows if row.filters[name])) for name in FILTERS}
    return {name: values for name, values in menus.items() if len(values) > 1}


def details(source: Source) -> dict[str, Any]:
    """What opening a row shows: `rows` by row id, the `runs` they name by key, and `configs`, each text once."""
    rows: dict[str, Any] = {}
    configs: dict[str, int] = {}
    for i, table in enumerate(source.board.tables):
        for j, row in enumerate(table.rows):
            rows[f"r{i}-{j}"] = {
                "title": f"{row.arm} · {source.table_label(table)}",
                "facts": _fact_texts(table, row),
                "runs": list(row.runs),
            }
    runs = {key: _run_facts(record, configs) for key, record in source.records.items()}
    return {"rows": rows, "runs": runs, "configs": list(configs)}


def findings(record: Record) -> dict[str, Any]:
    """What the leak check left in a record; empty where there was none."""
    found: dict[str, Any] = {}
    if record.leaks:
        found["leaks"] = {suite: about.plain() for suite, about in record.leaks.items()}
    if record.leaks or record.selection.leaked is not None:
        found["leaked"] = record.selection.leaked
    return found


def _row_cells(
    source: Source, table: Table, row: ArmRow, places: int, scores: tuple[float, float], reach: float
) -> dict[str, Cell]:
    baseline = source.board.baseline
    difference, (low, high) = row.vs_baseline, spread(row)
    is_baseline = difference is None and baseline in (row.arm, row.selector)
    cells = {word: Cell(str(table.setting.get(word) or UNKNOWN), str(table.setting.get(word) or "")) for word in _WORDS}
    cells |= {
        "arm": Cell(row.arm, row.arm),
        "budget": Cell(row.budget or UNKNOWN, row.amount if is_known(row.amount) else row.budget or None),
        "rank": _rank_cell(row),
        "score": Cell(
            number_text(row.score, places),
            _sort_key(row.score),
            interval_text(row.low, row.high, places, sign=False)
            or (f"± {number_text(row.se, places)} SE" if is_known(row.se) else ""),
            _interval_bar(low, row.score, high, *scores),
        ),
        "difference": Cell(UNKNOWN, None),
        "verdict": Cell(
            verdict_word(difference, is_baseline),
            -difference.mean if difference and is_known(difference.mean) else None,
            mark=MARKS.get(_verdict_kind(row), ""),
        ),
        "seeds": Cell(str(row.seeds) if row.seeds else UNKNOWN, row.seeds or None),
        "detectable": Cell(UNKNOWN, None),
        "needed": Cell(UNKNOWN, None),
    }
    if difference:
        cells["difference"] = Cell(
            signed_text(difference.mean, places),
            _sort_key(difference.mean),
            interval_text(difference.low, difference.high, places),
            _interval_bar(difference.low, difference.mean, difference.high, -reach, reach),
        )
        cells["detectable"] = Cell(number_text(difference.detectable, places), _sort_key(difference.detectable))
        cells["needed"] = _seeds_needed_cell(row)
    for name in _COUNTS:
        cells[name] = Cell(count_text(getattr(row, name)), _sort_key(getattr(row, name)))
    for name in ("selection_s", "training_s"):
        cells[name] = Cell(seconds_text(getattr(row, name)), _sort_key(getattr(row, name)))
    return cells


def _verdict_kind(row: ArmRow) -> str:
    return row.vs_baseline.verdict if row.vs_baseline and is_tested(row.vs_baseline) else ""


def _rank_cell(row: ArmRow) -> Cell:
    if not row.rank_low:
        return Cell(UNKNOWN, None)
    text = str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"
    return Cell(text, row.rank_low + row.rank_high / 1000)


def _seeds_needed_cell(row: ArmRow) -> Cell:
    difference = row.vs_baseline
    if difference is None or not is_known(difference.detectable):
        return Cell(UNKNOWN, None)
    if difference.seeds_needed is None:
        return Cell(f"> {SEEDS_LIMIT:,}", SEEDS_LIMIT + 1)
    return Cell(count_text(difference.seeds_needed), difference.seeds_needed)


def _sort_key(value: float) -> float | None:
    return float(f"{value:.10g}") if is_known(value) else None


def _score_range(triples: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """The range of these scores with their intervals."""
    ends = [value for triple in triples for value in triple if is_known(value)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _largest_distance(triples: Sequence[tuple[float, float, float]]) -> float:
    """How far differences and their intervals reach from zero."""
    return max((abs(value) for triple in triples for value in triple if is_known(value)), default=0.0)


def _interval_bar(low: float, at: float, high: float, left: float, right: float) -> Bar | None:
    if not is_known(at) or right <= left or not left <= at <= right:
        return None  # a reference arm may lie far outside of what the others span

    def place(value: float) -> float:
        return round(2 + 96 * (min(max(value, left), right) - left) / (right - left), 1)

    low, high = (low, high) if is_known(low) and is_known(high) else (at, at)
    return Bar(place(low), place(at), place(high), place(0.0) if left < 0 < right else None)


def _filter_words(table: Table, row: ArmRow) -> dict[str, str]:
    words = {name: str(table.setting.get(name) or "") for name in ("pool", "model", "suite", "task")}
    return {**words, "budget": table.budget, "selector": row.selector}


def _fact_texts(table: Table, row: ArmRow) -> list[tuple[str, str]]:
    """Names and values that have no column, of which only the known are shown."""
    places = decimals([row.score, *(other.score for other in table.rows)])
    facts = [(name, str(value)) for name, value in table.setting.items() if value not in (None, "")]
    facts += [("selector", row.selector), ("scorer", row.scorer or UNKNOWN)]
    measures = {
        "standard error": number_text(row.se, places),
        "standard error from seeds": number_text(row.se_seed, places),
        "standard error from items": number_text(row.se_item, places),
        "relative to full": signed_percent_text(row.relative_to_full),
        "evaluation [s]": seconds_text(row.evaluation_s),
        "FLOPs": flops_text(row.flops),
        "money": number_text(row.money, 2),
        "leaked examples": UNKNOWN if row.leaked is None else count_text(row.leaked),
    }
    if row.vs_baseline and is_tested(row.vs_baseline):
        p, adjusted = row.vs_baseline.p, row.vs_baseline.p_adjusted
        measures["p, uncorrected and corrected"] = f"{p_text(p)}, {p_text(adjusted)}"
    return facts + [(name, text) for name, text in measures.items() if not text.startswith(UNKNOWN)]


def _run_facts(record: Record, configs: dict[str, int]) -> dict[str, Any]:
    """The plain facts of one run. A configuration without its seed is the same for all seeds, so it is kept once."""
    plain = {name: value for name, value in record.config.items() if name != "seed"}
    text = json.dumps(plain, indent=2, ensure_ascii=False, default=str)
    leaks = findings(record)
    return {
        "name": record.name,
        "created": record.created,
        "command": record.command,
        "seed": record.axes.seed,
        "headline": {name: value for name, value in record.headline.items() if math.isfinite(value)},
        "stages": record.stages,
        "versions": json.dumps(record.versions, indent=2, ensure_ascii=False, default=str),
        "leaks": json.dumps(leaks, indent=2, ensure_ascii=False, default=str) if leaks else "",
        "config": configs.setdefault(text, len(configs)),
    }
