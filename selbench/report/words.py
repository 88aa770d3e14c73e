"""The texts of a board (titles, headings, cells, sentences), which terminal and Markdown share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selbench.numbers import (
    UNKNOWN,
    bracket_text,
    count_text,
    counted_text,
    decimals,
    number_text,
    p_text,
    percent_text,
    signed_percent_text,
    signed_text,
)
from selbench.report.board import Aggregate, ArmRow, Board, Difference, Intervals, Table, varied_words
from selbench.report.tidy import BASELINE

MARKS = {"better": "▲", "worse": "▼", "tied": "="}
UNTESTED = "not tested"
LEGEND = (
    "▲ better, ▼ worse, = not told apart; differences are positive where the arm is better, whatever the metric. "
    "[..] beside a difference: {interval}. ± is the {confidence} interval of one score by itself, and no test. "
    "Detectable: the smallest difference for which these seeds give a verdict at 80 % power, if no other arms differ. "
    "Ranks are shared by arms that cannot be told apart."
)
# What the legend says of each kind of interval, and its name in headings.
ABOUT_INTERVALS = {
    "corrected": "its {confidence} interval after correction, which leaves out 0 exactly where there is ▲ or ▼",
    "simultaneous": "its {confidence} interval, wide enough for all those of a family to hold together; where it leaves out 0 "
    "there is ▲ or ▼, but a test in steps finds some more",
    "plain": "its {confidence} interval by itself, not corrected: beside = it may leave out 0",
}
INTERVAL_NAMES = {"corrected": "corrected", "simultaneous": "simultaneous", "plain": "uncorrected"}
NO_VERDICTS = "a description, no verdicts"
# Short names of the corrections.
CORRECTIONS = {
    "none": "uncorrected",
    "joint": "jointly, within each table",
    "holm-table": "Holm, within each table",
    "holm": "Holm, over the board",
    "bh": "Benjamini-Hochberg, over the board",
}
# The costs of an arm that get a column: heading, field of ArmRow, decimal places.
COSTS = (
    ("examples", "examples", 0),
    ("asked for", "asked", 0),
    ("response tokens", "response_tokens", 0),
    ("trained", "trained", 0),
    ("cut", "cut", 0),
    ("dropped", "dropped", 0),
    ("tokens trained on", "tokens_trained", 0),
    ("tokens an epoch", "tokens_fit", 0),
    ("steps", "steps", 0),
    ("select s", "selection_s", 1),
    ("leaked", "leaked", 0),
    ("items in target", "target_leaked", 0),
    ("items cut", "items_cut", 0),
    ("items left out", "items_left_out", 0),
)
# Costs that have a column only where an arm says something with them, beside what the others say.
EXCEPTIONS = {"trained", "cut", "dropped", "tokens_fit", "target_leaked", "items_cut", "items_left_out"}


def table_title(board: Board, table: Table) -> str:
    """`planted: exact_match (higher is better)   model planted-1m   pool planted   trainer trl, arms matched by epochs`.

    The comparison is named if the board has several.
    """
    setting, better = table.setting, "higher" if table.higher_is_better else "lower"
    what = " ".join(str(setting[name]) for name in ("suite", "suite_options", "task") if setting.get(name))
    head = f"{what}: " if what else ""
    parts = [f"{head}{setting.get('metric') or 'score'} ({better} is better)"]
    named = ("model", "pool", "trainer", *varied_words(board.tables, ["comparison"]))
    parts += [f"{name} {setting[name]}" for name in named if setting.get(name)]
    if table.budget:
        parts.append(f"budget {table.budget}")
    matched = f", arms matched by {setting['match']}" if setting.get("match") else ""
    return "   ".join(parts) + matched


def column_headings(board: Board, table: Table) -> list[tuple[str, bool]]:
    """The headings of a table, each with whether its column is right-aligned; columns without a value are left out."""
    return [(name, right) for name, right, _ in arm_cells(board, table, table.rows[0])]


def arm_cells(board: Board, table: Table, row: ArmRow) -> list[tuple[str, bool, str]]:
    """The cells of one row: heading of the column, whether it is right-aligned, and text."""
    digits = _score_decimals(table)
    against = row.vs_baseline
    rank = UNKNOWN if not row.rank_low else _rank_range(row.rank_low, row.rank_high)
    found = [("rank", False, rank), ("selector", False, row.selector or UNKNOWN)]
    if any(other.scorer not in ("", table.setting.get("model")) for other in table.rows):
        found.append(("scorer", False, row.scorer or UNKNOWN))
    if len({other.target for one in board.tables for other in one.rows} - {""}) > 1:
        found.append(("target", False, row.target or UNKNOWN))
    if any(other.budget for other in table.rows):
        found.append(("budget", False, row.budget or UNKNOWN))
    found += [
        (
            f"score ± {percent_text(board.confidence)}",
            True,
            number_text(row.score, digits) + _half_width_text(row, digits),
        ),
        ("seeds", True, str(row.seeds)),
    ]
    if any(other.vs_baseline for other in table.rows):
        found += [
            (
                f"vs {board.baseline} [{interval_name(board)}]",
                True,
                difference_text(against, digits, board.intervals) if against else UNKNOWN,
            ),
            ("detectable", True, number_text(against.detectable, digits) if against else UNKNOWN),
        ]
    found += [
        (heading, True, number_text(_cost_or_nan(row, field), places))
        for heading, field, places in COSTS
        if any(says_something(other, field) for other in table.rows)
    ]
    return found


def first_place_lines(board: Board, table: Table) -> list[str]:
    """Sentences on which arms are first, and how many seeds would separate the best from the next tied with it.

    Empty if fewer than two arms are ranked.
    """
    digits = _score_decimals(table)
    if table.all_equal:
        return [equal_scores_text(table)]
    ranked = [row for row in table.rows if not row.reference]
    if len(ranked) < 2:
        return []
    best, tied = ranked[0], [row for row in ranked[1:] if row.rank_low == 1]
    other = tied[0] if tied else ranked[1]
    pair = next(p for p in table.pairs if {p.a, p.b} == {best.arm, other.arm})
    gap = f"{best.arm} to {other.arm}: {difference_text(pair, digits, board.intervals)}"
    gap += f", p {p_text(pair.p)}, corrected {p_text(pair.p_adjusted)}." if pair.tested else "."
    if not tied:
        return [f"{best.arm} is alone in first place. {gap}"]
    if not any(one.tested for one in table.pairs):
        return [f"{best.arm} scores best, but no difference could be tested: the noise of these scores is not known."]
    said = f"tied for first: {', '.join(row.arm for row in [best, *tied])}. {gap}"
    if math.isnan(pair.detectable):
        return [f"{said} The noise is not known well enough to say what these seeds can show."]
    return [f"{said} {_power_text(pair, digits)}"]


def equal_scores_text(table: Table) -> str:
    """The sentence on a table in which all scores are one number."""
    score = next((row.score for row in table.rows if not math.isnan(row.score)), math.nan)
    return (
        f"All scores are equal ({number_text(score, _score_decimals(table))}), as at the floor or ceiling of a task: "
        "there is nothing to tell apart, and no verdict."
    )


def _power_text(pair: Difference, digits: int) -> str:
    """What these seeds can show between two arms, and how many would show the difference found.

    `2 seeds can show a difference of 0.0512 between these two (80 % power); to show 0.0211 would take 9 seeds each.`
    """
    can = (
        f"{counted_text(pair.seeds, 'seed')} can show a difference of {number_text(pair.detectable, digits)} between these "
        "two (80 % power)"
    )
    if not pair.mean:
        return f"{can}."
    if pair.seeds_needed is None:
        needed = "more seeds than anyone runs"
    elif pair.seeds_needed <= pair.seeds:
        return f"{can}."
    else:
        needed = f"{counted_text(pair.seeds_needed, 'seed')} each"
    return f"{can}; to show {number_text(abs(pair.mean), digits)} would take {needed}."


def aggregate_rows(board: Board) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the aggregates over all tables; empty for a single table, which they would only repeat."""
    if len(board.tables) < 2:
        return [], []
    named = board.baseline.lower()
    extra = [
        name for name in (BASELINE, "full") if name != named and any(_has_tally(one, name) for one in board.aggregates)
    ]
    heads = [
        "arm",
        "tables",
        "mean rank",
        f"mean vs {board.baseline} [{mean_interval_name(board)}]",
        f"▲/=/▼ vs {board.baseline}",
    ]
    heads += [f"▲/=/▼ vs {name}" for name in extra] + ["vs full", "area under budget"]
    digits = min((_score_decimals(table) for table in board.tables), default=4)
    rows = [
        [
            one.selector,
            str(one.tables),
            number_text(one.average_rank, 2),
            _with_interval_text(one.mean_difference, one.ends(board.intervals), digits),
            _tally_text(one.wins_baseline),
            *[_tally_text(_tally_against(one, name)) for name in extra],
            signed_percent_text(one.relative_to_full),
            number_text(one.budget_area, digits),
        ]
        for one in board.aggregates
    ]
    # A column without a value in any row is left out; arm and number of tables always stay.
    kept = [i for i in range(len(heads)) if i < 2 or any(row[i] != UNKNOWN for row in rows)]
    return [heads[i] for i in kept], [[row[i] for i in kept] for row in rows]


def summary_lines(board: Board) -> list[str]:
    """The lines of the summary: counts of verdicts under each correction, separated arms, average ranks."""
    counts = board.counts
    if not counts:
        return []
    tables = counted_text(counts["tables"], "table")
    lines = []
    if counts["cells"]:
        lines.append(
            f"{counted_text(counts['cells'], 'comparison')} of an arm with {board.baseline} in {tables} ({board.test} test):"
        )
        for name, found in counts["by_correction"].items():
            chosen = "  <- the verdicts above" if name == board.correction else ""
            lines.append(f"  {CORRECTIONS[name]}: {_verdict_counts_text(found)}{chosen}")
    best, pairs = counts["best_vs_runner_up"], counts["pairs"]
    if best["of"]:
        lines.append(
            f"best arm separated from the runner-up in {count_text(best['verdict'])} of {counted_text(best['of'], 'table')} "
            f"by verdict, in {count_text(best['uncorrected'])} uncorrected; {count_text(pairs['separated'])} of "
            f"{counted_text(pairs['all'], 'pair')} of arms separated by verdict."
        )
    else:
        lines.append("no table has two arms to compare.")
    if not math.isnan(board.critical.distance):
        lines.append(
            f"average ranks over {count_text(board.critical.tables)} settings and tasks ({NO_VERDICTS}): Friedman's one test of "
            f"all arms p {p_text(board.critical.p)}; ranks nearer than {number_text(board.critical.distance, 2)} are not told "
            f"apart (Nemenyi, for all pairs together): {_group_names(board.critical.groups)}."
        )
    return lines


def _score_decimals(table: Table) -> int:
    return decimals(row.score for row in table.rows)


def difference_text(pair: Difference, digits: int, intervals: Intervals) -> str:
    """`+0.0474 [+0.0191, +0.0758] ▲`: the difference, its interval, the verdict."""
    if math.isnan(pair.mean):
        return UNKNOWN
    mark = MARKS[pair.verdict] if pair.tested else UNTESTED
    return f"{_with_interval_text(pair.mean, pair.ends(intervals), digits)} {mark}"


def interval_name(board: Board) -> str:
    """The intervals beside differences, in a few words: `corrected 95 %`."""
    name = "uncorrected" if board.correction == "none" else INTERVAL_NAMES[board.intervals]
    return f"{name} {percent_text(board.confidence)}"


def mean_interval_name(board: Board) -> str:
    """The same for the mean differences over tables, of which all intervals hold together unless they are plain."""
    return (
        f"{INTERVAL_NAMES['plain' if board.intervals == 'plain' else 'simultaneous']} {percent_text(board.confidence)}"
    )


def interval_sentence(board: Board) -> str:
    """What the intervals beside differences are, and how they go with the verdicts."""
    kind = "corrected" if board.correction == "none" else board.intervals
    return ABOUT_INTERVALS[kind].format(confidence=percent_text(board.confidence))


def many_tables_title(board: Board) -> str:
    """The title of the aggregates."""
    return f"Over all {count_text(len(board.tables))} tables: {NO_VERDICTS}"


def says_something(row: ArmRow, field: str) -> bool:
    """Whether a cost of this arm is known, and is no exception that does not occur."""
    value = _cost_or_nan(row, field)
    if field == "tokens_fit" and not math.isnan(row.tokens_trained):
        return False  # the tokens of the whole training say more
    usual = row.examples if field == "trained" else 0.0
    return not math.isnan(value) and not (field in EXCEPTIONS and value == usual)


def _cost_or_nan(row: ArmRow, field: str) -> float:
    value = getattr(row, field)
    return math.nan if value is None else float(value)


def _half_width_text(row: ArmRow, digits: int) -> str:
    return "" if math.isnan(row.high) else f" ± {number_text(row.high - row.score, digits)}"


def _with_interval_text(mean: float, ends: tuple[float, float], digits: int) -> str:
    interval = bracket_text(*ends, digits)
    return signed_text(mean, digits) + (f" {interval}" if interval else "")


def legend_text(board: Board) -> str:
    """The sentences that explain the marks and columns of the tables."""
    return LEGEND.format(confidence=percent_text(board.confidence), interval=interval_sentence(board))


def _rank_range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _verdict_counts_text(found: dict[str, int]) -> str:
    kinds = ("better", "worse", "tied", *(["untested"] if found["untested"] else []))
    return ", ".join(f"{count_text(found[kind])} {kind}" for kind in kinds)


def _tally_text(found: tuple[int, int, int]) -> str:
    return "/".join(map(str, found)) if any(found) else UNKNOWN


def _tally_against(one: Aggregate, name: str) -> tuple[int, int, int]:
    return one.wins_full if name == "full" else one.wins_random


def _has_tally(one: Aggregate, name: str) -> bool:
    return any(_tally_against(one, name))


def _group_names(groups: Sequence[Sequence[str]]) -> str:
    return "; ".join(", ".join(group) for group in groups) or "none"
