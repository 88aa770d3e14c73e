"""The leaderboard of recorded runs, or of any scores: on the terminal, as JSON, and as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench import console
from selbench.report import published, words
from selbench.report.board import Board, Table
from selbench.report.build import build_board
from selbench.report.items import ItemScores
from selbench.report.page import write_page
from selbench.report.tables import write_tables
from selbench.report.tidy import BASELINE, runs_table, task_table
from selbench.store.axes import require_distinct_labels
from selbench.store.records import Record

# A board with more tables shows the first few on a terminal.
MANY, FEW = 12, 3
# What a narrow terminal leaves out first.
NARROW = ("select s", "steps", "examples", "budget", "response tokens")


def board_of(records: Sequence[Record], runs: Path | None = None, **options: Any) -> Board:
    """The board of recorded runs; `runs` is their folder, for item-level results. Options are those of build_board.

    Raises UserError if two different arms have one label.
    """
    require_distinct_labels(record.axes for record in records if record.status == "finished")
    items = ItemScores(runs, records) if runs else None
    return build_board(runs_table(records), items, tasks=task_table(records), **options)


def show(
    records: Sequence[Record],
    csv: Path | None = None,
    baseline: str = BASELINE,
    *,
    runs: Path | None = None,
    all_tables: bool = False,
    as_json: bool = False,
    plan: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
) -> Board:
    """Print the board of `records`, write it to `csv` (and beside it as Parquet, Markdown and a page), and return it.

    `runs` is the folder of the records: with it, item-level results take part in the verdicts. `plan` compares what was
    planned with what it took (see page.write_page).
    """
    board = board_of(records, runs, baseline=baseline, **options)
    present(board, csv, records, runs, all_tables=all_tables, as_json=as_json, plan=plan)
    return board


def present(
    board: Board,
    csv: Path | None = None,
    records: Sequence[Record] = (),
    runs: Path | None = None,
    *,
    all_tables: bool = False,
    as_json: bool = False,
    plan: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Print a board, or with `as_json` nothing but its JSON; write the files. `records` are the runs behind it, if any."""
    if as_json:
        json.dump(board.plain(), sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    else:
        _print(board, published.published(records), all_tables)
    shown = 8
    for warning in board.warnings[:shown]:
        console.warn(warning)
    if len(board.warnings) > shown:
        console.warn(f"{len(board.warnings) - shown:,} more warnings of this kind are in the files.")
    if csv:
        tables = write_tables(board, csv)
        page = csv.with_suffix(".html")
        write_page(page, board, records, runs, title=title_of(records) or csv.stem, plan=plan)
        console.say(f"leaderboard: {', '.join(str(path) for path in tables)}")
        console.say(f"report: {page}")


def title_of(records: Sequence[Record]) -> str:
    """What was compared: the names of the comparisons; empty without records."""
    return ", ".join(dict.fromkeys(record.comparison for record in records))


def _print(board: Board, blocks: Sequence[dict[str, Any]], all_tables: bool) -> None:
    shown = board.tables if all_tables or len(board.tables) <= MANY else board.tables[:FEW]
    for table in shown:
        _heading(words.title(table))
        console.out.print(_table(board, table))
        for line in words.ties(board, table):
            _line(line)
        console.out.print()
    if len(shown) < len(board.tables):
        _line(f"{len(board.tables) - len(shown):,} more tables: --all-tables prints them, the files hold them.\n")
    for block in blocks:
        _heading(published.title(block))
        console.out.print(published.render(block))
        console.out.print()
    heads, rows = words.aggregate_rows(board)
    if rows:
        _heading(f"Over all {len(board.tables):,} tables")
        console.out.print(_grid([(head, head != "arm") for head in heads], rows))
        console.out.print()
    _heading("Summary")
    for line in (*words.summary(board), *board.notes):
        _line(line)
    _line(f"{words.legend(board)}\n")


def _table(board: Board, table: Table) -> Any:
    """Columns that a narrow terminal has no room for are left out; the files have them."""
    from rich.measure import Measurement

    columns = words.columns(board, table)
    rows = [[text for _, _, text in words.cells(board, table, row)] for row in table.rows]
    for last in (None, *NARROW):
        kept = [i for i, (name, _) in enumerate(columns) if name != last]
        columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
        grid = _grid(columns, rows)
        if Measurement.get(console.out, console.out.options.update(width=10_000), grid).maximum <= console.out.width:
            break
    return grid


def _grid(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Any:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, padding=(0, 2, 0, 0))
    for name, right in columns:
        grid.add_column(
            Text(name),
            justify="right" if right else "left",
            overflow="fold",
            min_width=10 if name == "selector" else None,
        )
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _heading(text: str) -> None:
    """On a line of its own: over the table it would be folded to the table's width."""
    from rich.text import Text

    console.out.print(Text(text, style="bold"), soft_wrap=True)


def _line(text: str) -> None:
    from rich.text import Text

    console.out.print(Text(text), soft_wrap=True)
