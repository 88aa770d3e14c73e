"""A comparison on the terminal. Text from data is never read as markup."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from selbench.comparison.score_differences import Changes, ScoreDifference
from selbench.comparison.side_by_side import Comparison

Previews = Callable[[str], str]


def show(comparison: Comparison, console: Console, shown: int, preview: Previews) -> None:
    """Everything, with up to `shown` items and examples of each kind; `preview` gives the text of an id, or nothing."""
    console.print(Text.assemble("A  ", (comparison.a.name, "bold")), soft_wrap=True)
    console.print(Text.assemble("B  ", (comparison.b.name, "bold")), soft_wrap=True)
    if comparison.a.seeds != (None,):
        console.print(Text(f"paired over seeds {', '.join(map(str, comparison.a.seeds))}", style="dim"))
    for note in comparison.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    _section(
        console,
        "Scores: A - B, above 0 where A is better; 95 % intervals and p uncorrected",
        _scores(comparison.scores),
    )
    for suite, found in comparison.verdicts.items():
        words = f"{suite} on the leaderboard (p corrected for all its pairs: {_p(found.p_adjusted)}): A is "
        console.print(Text.assemble(words, (found.verdict, "bold")), soft_wrap=True)
    for changes in comparison.changes:
        _section(console, _changed(changes), _items(comparison, changes, shown))
    _selection(comparison, console, shown, preview)
    _section(
        console,
        "Cost, mean per run",
        _pairs({name: tuple(map(_number, pair)) for name, pair in comparison.costs.items()}),
    )
    if comparison.settings:
        _section(console, "Settings that differ", _pairs(comparison.settings))


def _section(console: Console, title: str, table: Table | None) -> None:
    console.print()
    console.print(Text(title, style="bold"), soft_wrap=True)
    if table is not None and table.row_count:
        console.print(table)


def _table(*columns: str, right: int = 0) -> Table:
    """`right`: how many of the last columns are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number >= len(columns) - right else "left", overflow="fold")
    return table


def _scores(rows: Sequence[ScoreDifference]) -> Table:
    table = _table("suite", "task", "A", "B", "A - B", "interval", "p", "SE seed", "SE item", "items", right=8)
    for row in rows:
        known = not math.isnan(row.low)
        interval = f"[{_signed(row.low)}, {_signed(row.high)}]" if known else "–"
        apart = known and (row.low > 0 or row.high < 0)
        table.add_row(
            Text(row.suite),
            Text(row.task or f"all ({row.metric})"),
            f"{row.a:.4f}",
            f"{row.b:.4f}",
            Text(_signed(row.mean), style="bold" if apart else ""),
            Text(interval),
            _p(row.p),
            _error(row.se_seed),
            _error(row.se_item),
            str(row.items or "–"),
        )
    return table


def _changed(found: Changes) -> str:
    if found.binary:
        gone = f"A right and B wrong {found.only_a}, A wrong and B right {found.only_b}"
        return f"Items of {found.suite}: {gone}, alike {found.answers - found.changed} (of {found.answers} answers)"
    return f"Items of {found.suite}: {found.changed} of {found.answers} answers differ; the largest changes"


def _items(comparison: Comparison, changes: Changes, shown: int) -> Table:
    table = _table("task", "item", "A", "B", "A - B", right=3)
    own = comparison.items[comparison.items["suite"] == changes.suite]
    gaps = own["difference"]
    for part in (
        own[gaps > 0].sort_values("difference", ascending=False, kind="stable"),
        own[gaps < 0].sort_values("difference", kind="stable"),
    ):
        for row in part.head(shown).to_dict("records"):
            cells = [Text(str(row["task"])), Text(str(row["item"]))]
            table.add_row(*cells, f"{row['a']:.4g}", f"{row['b']:.4g}", _signed(row["difference"]))
        if len(part) > shown:
            table.add_row(Text(f"and {len(part) - shown} more", style="dim"))
    return table


def _selection(comparison: Comparison, console: Console, shown: int, preview: Previews) -> None:
    found = comparison.overlap
    if found is None:
        _section(console, "Selections: not to be compared (another pool, or nothing selected)", None)
        return
    chance = "" if math.isnan(found.chance) else f", by chance {found.chance:.3f}"
    title = (
        f"Selections: A {found.a:,.0f} and B {found.b:,.0f} examples, {found.shared:,.0f} in both "
        f"(Jaccard {found.jaccard:.3f}{chance}); only A {found.only_a:,.0f}, only B {found.only_b:,.0f}"
    )
    table = _table("", "id", "example")
    for side, ids in (("only A", found.top_a), ("only B", found.top_b)):
        for id in ids[:shown]:
            table.add_row(side, Text(id), Text(preview(id)))
    _section(console, title, table)


def _pairs(rows: dict[str, Any]) -> Table:
    table = _table("", "A", "B")
    for name, (a, b) in rows.items():
        table.add_row(Text(name), Text(a), Text(b))
    return table


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.1f}" if value % 1 else f"{value:,.0f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{round(value, 4) + 0.0:+.4f}"


def _error(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}" if value >= 0.001 else "<0.001"
