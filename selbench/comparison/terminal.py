"""Printing a comparison on the terminal. Text from data is never read as rich markup."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selbench.comparison.score_differences import Changes
from selbench.comparison.side_by_side import Comparison
from selbench.numbers import UNKNOWN, bracket_text, count_text, digits_text, number_text, p_text, signed_text
from selbench.report.words import UNTESTED

Previews = Callable[[str], str]


def print_comparison(comparison: Comparison, console: Console, shown: int, preview: Previews) -> None:
    """Print the comparison, with up to `shown` items and examples of each kind.

    `preview` gives the beginning of an example's text from its id, or an empty string.
    """
    console.print(Text.assemble("A  ", (comparison.a.name, "bold")), soft_wrap=True)
    console.print(Text.assemble("B  ", (comparison.b.name, "bold")), soft_wrap=True)
    if comparison.a.seeds != (None,):
        console.print(Text(f"paired over seeds {', '.join(map(str, comparison.a.seeds))}", style="dim"))
    for note in comparison.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    _print_section(
        console,
        f"Scores: A - B, above 0 where A is better; {_interval_words(comparison)}",
        _score_table(comparison),
    )
    for suite, found in comparison.verdicts.items():
        words = f"{suite} on the leaderboard (p corrected for all its pairs: {p_text(found.p_adjusted)}): A is "
        verdict = found.verdict if found.tested else UNTESTED
        console.print(Text.assemble(words, (verdict, "bold")), soft_wrap=True)
    for changes in comparison.changes:
        _print_section(console, _changes_title(changes), _item_table(comparison, changes, shown))
    _print_selection(comparison, console, shown, preview)
    _print_section(
        console,
        "Cost, mean per run",
        _pair_table({name: tuple(map(_cost_text, pair)) for name, pair in comparison.costs.items()}),
    )
    if comparison.settings:
        _print_section(console, "Settings that differ", _pair_table(comparison.settings))


def _cost_text(value: float) -> str:
    """A mean over runs, with one decimal unless it is a whole number."""
    return number_text(value, 1 if value % 1 else 0)


def _print_section(console: Console, title: str, table: Table | None) -> None:
    console.print()
    console.print(Text(title, style="bold"), soft_wrap=True)
    if table is not None and table.row_count:
        console.print(table)


def _blank_table(*columns: str, right: int = 0) -> Table:
    """A table without rows; the last `right` columns are right-aligned, for numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number >= len(columns) - right else "left", overflow="fold")
    return table


def _interval_words(comparison: Comparison) -> str:
    """What the intervals and p values of the table of scores are."""
    plain = "95 % intervals and p are of each difference by itself, not corrected"
    if not comparison.verdicts:
        return plain
    on_board = (
        "of a whole suite, those of the leaderboard: the corrected 95 % interval, which leaves out 0 exactly with a "
    )
    tasks = any(row.task for row in comparison.scores)
    return f"{on_board}verdict, and the uncorrected p" + (f"; of single tasks, {plain}: no verdicts" if tasks else "")


def _score_table(comparison: Comparison) -> Table:
    table = _blank_table("suite", "task", "A", "B", "A - B", "interval", "p", "SE seed", "SE item", "items", right=8)
    for row in comparison.scores:
        verdict = None if row.task else comparison.verdicts.get(row.suite)
        low, high = verdict.ends("corrected") if verdict else (row.low, row.high)
        interval = bracket_text(low, high, 4) or UNKNOWN
        apart = verdict.verdict != "tied" if verdict else not math.isnan(low) and (low > 0 or high < 0)
        table.add_row(
            Text(row.suite),
            Text(row.task or f"all ({row.metric})"),
            number_text(row.a),
            number_text(row.b),
            Text(signed_text(row.mean), style="bold" if apart else ""),
            Text(interval),
            p_text(row.p),
            number_text(row.se_seed),
            number_text(row.se_item),
            count_text(row.items or None),
        )
    return table


def _changes_title(found: Changes) -> str:
    if found.binary:
        changed = f"A right and B wrong {count_text(found.only_a)}, A wrong and B right {count_text(found.only_b)}"
        alike = f"alike {count_text(found.answers - found.changed)} (of {count_text(found.answers)} answers)"
        return f"Items of {found.suite}: {changed}, {alike}"
    changed = f"{count_text(found.changed)} of {count_text(found.answers)} answers differ"
    return f"Items of {found.suite}: {changed}; the largest changes"


def _item_table(comparison: Comparison, changes: Changes, shown: int) -> Table:
    table = _blank_table("task", "item", "A", "B", "A - B", right=3)
    own = comparison.items[comparison.items["suite"] == changes.suite]
    gaps = own["difference"]
    for part in (
        own[gaps > 0].sort_values("difference", ascending=False, kind="stable"),
        own[gaps < 0].sort_values("difference", kind="stable"),
    ):
        for row in part.head(shown).to_dict("records"):
            cells = [Text(str(row["task"])), Text(str(row["item"]))]
            table.add_row(*cells, digits_text(row["a"], 4), digits_text(row["b"], 4), signed_text(row["difference"]))
        if len(part) > shown:
            table.add_row(Text(f"and {count_text(len(part) - shown)} more", style="dim"))
    return table


def _print_selection(comparison: Comparison, console: Console, shown: int, preview: Previews) -> None:
    found = comparison.overlap
    if found is None:
        _print_section(console, "Selections: not to be compared (another pool, or nothing selected)", None)
        return
    chance = "" if math.isnan(found.chance) else f", by chance {number_text(found.chance, 3)}"
    title = (
        f"Selections: A {count_text(found.a)} and B {count_text(found.b)} examples, {count_text(found.shared)} in both "
        f"(Jaccard {number_text(found.jaccard, 3)}{chance}); only A {count_text(found.only_a)}, only B {count_text(found.only_b)}"
    )
    table = _blank_table("", "id", "example")
    for side, ids in (("only A", found.top_a), ("only B", found.top_b)):
        for id in ids[:shown]:
            table.add_row(side, Text(id), Text(preview(id)))
    _print_section(console, title, table)


def _pair_table(rows: dict[str, Any]) -> Table:
    table = _blank_table("", "A", "B")
    for name, (a, b) in rows.items():
        table.add_row(Text(name), Text(a), Text(b))
    return table
