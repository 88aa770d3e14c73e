"""The verdict table of the page: a row per arm and table, cells of text with a value to sort by, and row details."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selbench.numbers import UNKNOWN, count_text, decimals, flops_text, is_known, p_text, seconds_text
from selbench.report.board import ArmRow, Table
from selbench.report.page.sentences import verdict_word
from selbench.report.page.source import Source, interval_ends, rankable
from selbench.report.page.typeset import interval_text, number_text, signed_percent_text, signed_text
from selbench.report.words import interval_name, interval_sentence, says_something
from selbench.statistics.power import MOST_SEEDS
from selbench.store.records import Record

FILTERS = ("pool", "model", "budget", "suite", "task", "selector")
MARKS = {"better": "▲", "worse": "▼", "tied": "="}
# The parts of a setting that get a column if they differ within the board.
_WORDS = ("model", "suite", "suite_options", "task", "metric", "pool", "trainer", "match", "comparison")
_COUNTS = (
    *("examples", "asked", "response_tokens", "trained", "cut", "dropped", "tokens_trained", "tokens_fit", "steps"),
    *("items_cut", "items_left_out"),
)


@dataclass(frozen=True)
class Column:
    """A column of the verdict table."""

    name: str
    label: str  # the heading
    about: str  # the heading's tooltip
    kind: str = "number"  # how the template draws its cells, and their CSS class


@dataclass(frozen=True)
class Bar:
    """A value with its interval, drawn as a bar; all places are in percent of the bar's width."""

    low: float
    at: float  # the value
    high: float
    zero: float | None = None  # where zero lies, if within the bar


@dataclass(frozen=True)
class Cell:
    """A cell of the verdict table."""

    text: str
    sort: float | str | None  # what the column is sorted by; None if unknown
    below: str = ""  # small print below the text
    bar: Bar | None = None
    mark: str = ""  # ▲, ▼ or = before the text


@dataclass(frozen=True)
class Row:
    """One arm in one table."""

    id: str  # of its HTML element, and of its details
    cells: tuple[Cell, ...]  # in the order of the columns
    filters: dict[str, str]  # name of a menu (FILTERS) -> the row's value
    verdict: str  # better, worse or tied against the baseline; empty if not tested
    first: bool  # whether the row is the first of its table


def verdict_columns(source: Source) -> list[Column]:
    """The columns that this board needs: costs that no row knows, and settings that all rows share, get none."""
    board = source.board
    baseline = board.baseline
    rows = [row for table in board.tables for row in table.rows]
    words = [word for word in _WORDS if word in source.varied]
    found = [
        Column("arm", "Method", "Open a row for its runs, settings and how to reproduce them.", "arm"),
        Column("budget", "Budget", "Share, examples or response tokens (tok) selected.", "text"),
        *([Column("target", "Target", "What the method selects towards.", "text")] if source.has_targets else []),
        *(Column(word, word.replace("_", " ").capitalize(), "", "text") for word in words),
        Column("rank", "Rank", "From best to worst place that the tests allow; ties share ranks.", "rank"),
        Column("verdict", f"Against {baseline}", "Verdict after correction for multiple comparisons.", "verdict"),
        Column("score", "Score", f"Mean over seeds; the bar spans {source.interval_words}.", "score"),
        Column(
            "difference",
            f"Difference to {baseline} [{interval_name(board)}]",
            f"Above zero is better. With {interval_sentence(board)}.",
            "score",
        ),
        Column("seeds", "Seeds", "Runs behind the score."),
        Column(
            "detectable",
            "Detectable",
            "Smallest difference for which these seeds give a verdict at 80 % power, if no other arms differ.",
        ),
        Column(
            "needed",
            "Seeds needed",
            f"Seeds per arm that would show the difference found at 80 % power. More than {MOST_SEEDS}: more than anyone runs.",
        ),
    ]
    for name, label, about in (
        ("examples", "Examples", "Selected examples."),
        ("asked", "Asked for", "The budget, of which the selection stopped short: the method found no more."),
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
        scores = _score_range([(row.score, *interval_ends(row)) for row in rankable(table)])
        differences = [row.vs_baseline for row in rankable(table) if row.vs_baseline]
        reach = _largest_distance([(item.mean, *item.ends(source.board.intervals)) for item in differences])
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
    """The values of each menu, for the menus that offer a choice of two or more."""
    menus = {name: list(dict.fromkeys(row.filters[name] for row in rows if row.filters[name])) for name in FILTERS}
    return {name: values for name, values in menus.items() if len(values) > 1}


def row_details(source: Source) -> dict[str, Any]:
    """What opening a row shows: `rows` by id, the `runs` that they name by key, and `configs`, each text once."""
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


def leak_findings(record: Record) -> dict[str, Any]:
    """What the leak check has recorded of a run; empty if there was no check."""
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
    difference, (low, high) = row.vs_baseline, interval_ends(row)
    intervals = source.board.intervals
    is_baseline = difference is None and baseline in (row.arm, row.selector)
    cells = {word: Cell(str(table.setting.get(word) or UNKNOWN), str(table.setting.get(word) or "")) for word in _WORDS}
    cells |= {
        "arm": Cell(row.arm, row.arm),
        "target": Cell(row.target or UNKNOWN, row.target),
        "budget": Cell(row.budget or UNKNOWN, row.amount if is_known(row.amount) else row.budget or None),
        "rank": _rank_cell(row),
        "score": Cell(
            number_text(row.score, places),
            _sort_key(row.score),
            interval_text(row.low, row.high, places, sign=False)
            or (f"± {number_text(row.se, places)} SE" if is_known(row.se) else ""),
            _interval_bar(row.score, low, high, *scores),
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
            interval_text(*difference.ends(intervals), places),
            _interval_bar(difference.mean, *difference.ends(intervals), -reach, reach),
        )
        cells["detectable"] = Cell(number_text(difference.detectable, places), _sort_key(difference.detectable))
        cells["needed"] = _seeds_needed_cell(row)
    for name in _COUNTS:
        cells[name] = Cell(count_text(getattr(row, name)), _sort_key(getattr(row, name)))
    for name in ("selection_s", "training_s"):
        cells[name] = Cell(seconds_text(getattr(row, name)), _sort_key(getattr(row, name)))
    return cells


def _verdict_kind(row: ArmRow) -> str:
    return row.vs_baseline.verdict if row.vs_baseline and row.vs_baseline.tested else ""


def _rank_cell(row: ArmRow) -> Cell:
    if not row.rank_low:
        return Cell(UNKNOWN, None)
    text = str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"
    # Sorted by the better end of the range, then by the worse one.
    return Cell(text, row.rank_low + row.rank_high / 1000)


def _seeds_needed_cell(row: ArmRow) -> Cell:
    difference = row.vs_baseline
    if difference is None or not is_known(difference.detectable):
        return Cell(UNKNOWN, None)
    if difference.seeds_needed is None:
        return Cell(f"> {MOST_SEEDS}", MOST_SEEDS + 1)
    return Cell(count_text(difference.seeds_needed), difference.seeds_needed)


def _sort_key(value: float) -> float | None:
    return float(f"{value:.10g}") if is_known(value) else None


def _score_range(triples: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """The smallest and largest of these scores and ends of intervals."""
    ends = [value for triple in triples for value in triple if is_known(value)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _largest_distance(triples: Sequence[tuple[float, float, float]]) -> float:
    """The largest distance from zero among these differences and ends of intervals."""
    return max((abs(value) for triple in triples for value in triple if is_known(value)), default=0.0)


def _interval_bar(at: float, low: float, high: float, left: float, right: float) -> Bar | None:
    if not is_known(at) or right <= left or not left <= at <= right:
        return None  # a reference arm may lie far outside the range of the others

    def place(value: float) -> float:
        return round(2 + 96 * (min(max(value, left), right) - left) / (right - left), 1)

    low, high = (low, high) if is_known(low) and is_known(high) else (at, at)
    return Bar(place(low), place(at), place(high), place(0.0) if left < 0 < right else None)


def _filter_words(table: Table, row: ArmRow) -> dict[str, str]:
    words = {name: str(table.setting.get(name) or "") for name in ("pool", "model", "suite", "task")}
    return {**words, "budget": table.budget, "selector": row.selector}


def _fact_texts(table: Table, row: ArmRow) -> list[tuple[str, str]]:
    """Names and values for the details of a row: its setting, and measures that have no column and are known."""
    places = decimals([row.score, *(other.score for other in table.rows)])
    facts = [(name, str(value)) for name, value in table.setting.items() if value not in (None, "")]
    facts += [("selector", row.selector), ("scorer", row.scorer or UNKNOWN), ("target", row.target or UNKNOWN)]
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
    if row.vs_baseline and row.vs_baseline.tested:
        p, adjusted = row.vs_baseline.p, row.vs_baseline.p_adjusted
        measures["p, uncorrected and corrected"] = f"{p_text(p)}, {p_text(adjusted)}"
    return facts + [(name, text) for name, text in measures.items() if not text.startswith(UNKNOWN)]


def _run_facts(record: Record, configs: dict[str, int]) -> dict[str, Any]:
    """What the details show of one run. `configs` collects the configurations: text -> number.

    The seed is left out of a configuration, so that all seeds of an arm share one text.
    """
    plain = {name: value for name, value in record.config.items() if name != "seed"}
    text = json.dumps(plain, indent=2, ensure_ascii=False, default=str)
    leaks = leak_findings(record)
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
