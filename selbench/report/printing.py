"""Printing a board on the terminal, and the paths of its files. Text from data is never read as rich markup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selbench import console
from selbench.numbers import count_text
from selbench.report import published, words
from selbench.report.board import Board, Table

# A board with more than MANY tables prints the first FEW only.
MANY, FEW = 12, 3
# The columns that a narrow terminal leaves out, in this order.
NARROW = ("select s", "steps", "examples", "budget", "tokens trained on", "trained", "response tokens")


def print_board(board: Board, blocks: Sequence[dict[str, Any]], all_tables: bool) -> None:
    """Print the tables (of many, the first few), published figures, the aggregates and the summary.

    `blocks` are published figures (see published.published_blocks); `all_tables` prints every table.
    """
    shown = board.tables if all_tables or len(board.tables) <= MANY else board.tables[:FEW]
    for table in shown:
        _print_heading(words.table_title(board, table))
        console.out.print(_arm_table(board, table))
        for line in words.first_place_lines(board, table):
            _print_line(line)
        console.out.print()
    if len(shown) < len(board.tables):
        _print_line(
            f"{count_text(len(board.tables) - len(shown))} more tables: --all-tables prints them, the files hold them.\n"
        )
    for block in blocks:
        _print_heading(published.block_title(block))
        console.out.print(published.block_table(block))
        console.out.print()
    heads, rows = words.aggregate_rows(board)
    if rows:
        _print_heading(words.many_tables_title(board))
        console.out.print(_aligned_table([(head, head != "arm") for head in heads], rows))
        console.out.print()
    _print_heading("Summary")
    for line in (*words.summary_lines(board), *board.notes):
        _print_line(line)
    _print_line(f"{words.legend_text(board)}\n")


def _arm_table(board: Board, table: Table) -> Any:
    """The rich table of a table's arms, without the columns that a narrow terminal has no room for."""
    from rich.measure import Measurement

    columns = words.column_headings(board, table)
    rows = [[text for _, _, text in words.arm_cells(board, table, row)] for row in table.rows]
    for last in (None, *NARROW):
        kept = [i for i, (name, _) in enumerate(columns) if name != last]
        columns, rows = [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]
        grid = _aligned_table(columns, rows)
        if Measurement.get(console.out, console.out.options.update(width=10_000), grid).maximum <= console.out.width:
            break
    return grid


def _aligned_table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> Any:
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


def _print_heading(text: str) -> None:
    """Print a bold line. As the title of a rich table it would be folded to the table's width."""
    from rich.text import Text

    console.out.print(Text(text, style="bold"), soft_wrap=True)


def _print_line(text: str) -> None:
    from rich.text import Text

    console.out.print(Text(text), soft_wrap=True)


def print_files(tables: Sequence[Path], page: Path) -> None:
    """Print the paths of the written tables and of the page to standard error, a line each."""
    console.say(f"leaderboard: {', '.join(str(path) for path in tables)}")
    console.say(f"report: {page}")
