"""The sentences of the page. They claim no more than the board: ties are ties, and untested differences no verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from selbench.numbers import count_text, counted_text, decimals, digits_text, is_known, percent_text
from selbench.report.board import Board, Difference, Table
from selbench.report.page.source import rankable
from selbench.report.page.typeset import interval_text, number_text
from selbench.report.words import CORRECTIONS, UNTESTED, equal_scores_text, interval_name, interval_sentence

NAMED_UP_TO = 3  # methods listed by name; more are counted


def verdict_word(difference: Difference | None, is_baseline: bool) -> str:
    """The verdict on an arm in a word or two: better, worse, tied, baseline, not tested, not compared."""
    if is_baseline:
        return "baseline"
    if difference is None or not is_known(difference.mean):
        return "not compared"
    if not difference.tested:
        return UNTESTED
    return difference.verdict


def table_sentence(table: Table, board: Board) -> str:
    """One sentence about one table: which arms are tied with the best, and which differ from the baseline."""
    rows = rankable(table)
    if table.all_equal:
        return equal_scores_text(table)
    if len(rows) < 2:
        return "One arm only, so there is nothing to compare."
    parts = [part for part in (_first_place(table), _against_baseline(table, board)) if part]
    return "; ".join(parts) + "."


def summary_sentences(board: Board) -> list[str]:
    """The sentence about all tables: separated winners, and verdicts against the baseline; none for a single table."""
    tables = [table for table in board.tables if len(rankable(table)) > 1]
    return [_tables_sentence(tables, board.baseline)] if len(tables) > 1 else []


def suite_sentences(board: Board) -> list[tuple[str, str]]:
    """Name and sentence (as of summary_sentences) for the tables of each suite and task."""
    suites: dict[str, list[Table]] = {}
    for table in board.tables:
        if len(rankable(table)) > 1:
            name = " · ".join(str(table.setting.get(word) or "") for word in ("suite", "task")).strip(" ·")
            suites.setdefault(name or "all tables", []).append(table)
    return [(suite, _tables_sentence(tables, board.baseline)) for suite, tables in suites.items()]


def _tables_sentence(tables: Sequence[Table], baseline: str) -> str:
    separated = sum(_separated(table) for table in tables)
    found = Counter(
        row.vs_baseline.verdict
        for table in tables
        for row in rankable(table)
        if row.vs_baseline is not None and row.vs_baseline.tested
    )
    text = f"The best method is separated from the runner-up in {separated or 'none'} of {counted_text(len(tables), 'table')}"
    if not found:
        return f"{text}."
    kinds = ", ".join(f"{count_text(found[kind])} {kind}" for kind in ("better", "worse", "tied"))
    return f"{text}. Against {baseline}, {counted_text(sum(found.values()), 'difference')} tested: {kinds}."


def how_tested(board: Board) -> list[str]:
    """The board's notes, or the names of test and correction if it has none, and how to read a verdict."""
    corrected = CORRECTIONS.get(board.correction, board.correction)
    level = percent_text(board.confidence)
    alpha = digits_text(1 - board.confidence, 4)
    plain = f"Test: {board.test}; correction: {corrected}; verdicts at p < {alpha}; intervals at {level}."
    return [
        *(board.notes or [plain]),
        f"Differences are to {board.baseline} at the same budget; above zero is better, whatever the metric. Each has "
        f"{interval_sentence(board)}.",
        "Tied means that these runs cannot tell two methods apart, not that they are equal. Tied for first place are all "
        "methods that cannot be told apart from the one with the best score.",
    ]


def count_lines(values: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """The board's counts as (name, numbers), a line for each group of numbers; `above` begins every name."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{above}{name}".replace("_", " ")
        if not isinstance(value, dict):
            rows.append((label, _count_or_word(value)))
        elif any(isinstance(inner, dict) for inner in value.values()):
            rows += count_lines(value, f"{label}, ")
        else:
            rows.append(
                (label, ", ".join(f"{inner.replace('_', ' ')} {_count_or_word(n)}" for inner, n in value.items()))
            )
    return rows


def _count_or_word(value: Any) -> str:
    return count_text(value) if isinstance(value, int) else str(value)


def _pairs_by_arms(table: Table) -> dict[frozenset[str], Difference]:
    return {frozenset((pair.a, pair.b)): pair for pair in table.pairs}


def _separated(table: Table) -> bool:
    best, second = rankable(table)[:2]
    pair = _pairs_by_arms(table).get(frozenset((best.arm, second.arm)))
    return pair is not None and pair.tested and pair.verdict != "tied"


def _first_place(table: Table) -> str:
    rows, pairs = rankable(table), _pairs_by_arms(table)
    best, others = rows[0], rows[1:]
    against = [pairs.get(frozenset((best.arm, row.arm))) for row in others]
    if not any(pair is not None and pair.tested for pair in against):
        return (
            f"{best.arm} scores best, but no difference could be tested"
            if is_known(best.score)
            else "No score is known"
        )
    tied = [row.arm for row, pair in zip(others, against) if pair is None or not pair.tested or pair.verdict == "tied"]
    if not tied:
        return f"{best.arm} is ahead of every other method"
    if len(tied) == len(others):
        return f"All {len(rows)} methods are tied for first place"
    names = f" ({_listed([best.arm, *tied])})" if len(tied) < NAMED_UP_TO else ""
    return f"{len(tied) + 1} of {len(rows)} methods are tied for first place{names}"


def _against_baseline(table: Table, board: Board) -> str:
    rows = [row for row in rankable(table) if row.vs_baseline is not None and row.vs_baseline.tested]
    places = decimals(row.score for row in table.rows)
    said = []
    for kind, verb in (("better", "beats"), ("worse", "falls behind")):
        found = [row for row in rows if row.vs_baseline and row.vs_baseline.verdict == kind]
        if len(found) > NAMED_UP_TO:
            said.append(f"{len(found)} methods are {kind} than {board.baseline}")
        for row in found if len(found) <= NAMED_UP_TO else []:
            assert row.vs_baseline is not None
            by = _difference_size(row.vs_baseline, places, board)
            said.append(f"{row.arm} {verb} {board.baseline} by {by}")
    tied = [row.arm for row in rows if row.vs_baseline and row.vs_baseline.verdict == "tied"]
    if tied:
        who = _listed(tied) if len(tied) <= NAMED_UP_TO else f"{len(tied)} methods"
        said.append(f"{who} cannot be told apart from {board.baseline}")
    return "; ".join(said)


def _difference_size(difference: Difference, places: int, board: Board) -> str:
    # The sentence says "beats" or "falls behind", so the size is given without a sign.
    size = difference if difference.mean >= 0 else difference.turned()
    text = interval_text(*size.ends(board.intervals), places, sign=False)
    return number_text(size.mean, places) + (f" ({interval_name(board)} interval {text})" if text else "")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
