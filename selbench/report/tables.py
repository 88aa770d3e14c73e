"""The board as files: CSV and Parquet with one row per arm of a table, and Markdown."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.files import written_aside
from selbench.report import words
from selbench.report.board import ArmRow, Board, Table
from selbench.store.files import writing

if TYPE_CHECKING:
    import pandas as pd

# The figures of the difference to the baseline that get a column vs_baseline_NAME.
_PAIR = (
    *("low", "high", "low_corrected", "high_corrected", "low_simultaneous", "high_simultaneous"),
    *("p", "p_adjusted", "verdict", "detectable", "seeds_needed"),
)


def board_frame(board: Board) -> pd.DataFrame:
    """One row per arm of every table, best first.

    Columns: those of the setting; `table_budget` (an arm without a budget has a row in every table of its setting); the
    fields of ArmRow; the difference to the baseline as vs_baseline, vs_baseline_se, vs_baseline_low and so on; and
    `runs`, the keys of the runs with blanks between them.
    """
    import pandas as pd

    return pd.DataFrame([_flat_row(table, row) for table in board.tables for row in table.rows])


def _flat_row(table: Table, row: ArmRow) -> dict[str, Any]:
    own = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    against, runs = own.pop("vs_baseline"), own.pop("runs")
    leaked = math.nan if own["leaked"] is None else float(own["leaked"])
    pair = {
        "vs_baseline": against.mean if against else math.nan,
        "vs_baseline_se": against.se if against else math.nan,
        **{f"vs_baseline_{name}": getattr(against, name) if against else None for name in _PAIR},
    }
    return {
        **table.setting,
        "table_budget": table.budget,
        **own,
        "leaked": leaked,
        "higher_is_better": table.higher_is_better,
        **pair,
        "runs": " ".join(runs),
    }


def write_tables(board: Board, csv: Path) -> list[Path]:
    """Write the board to `csv`, and beside it with the endings .parquet and .md; gives the three paths.

    Each file is complete or not written at all. Raises UserError if a file cannot be written, as on a full disk.
    """
    table = board_frame(board)
    written: list[tuple[Path, Callable[[Path], Any]]] = [
        (csv, lambda path: table.to_csv(path, index=False)),
        (csv.with_suffix(".parquet"), lambda path: table.to_parquet(path, index=False)),
        (csv.with_suffix(".md"), lambda path: path.write_text(board_markdown(board), encoding="utf-8")),
    ]
    for path, write in written:
        with writing(path.parent), written_aside(path) as aside:
            write(aside)
    return [path for path, _ in written]


def board_markdown(board: Board) -> str:
    """The whole board as GitHub Markdown; text from data is escaped."""
    parts = ["# Leaderboard"]
    for table in board.tables:
        columns = words.column_headings(board, table)
        rows = [[cell for _, _, cell in words.arm_cells(board, table, row)] for row in table.rows]
        parts += [
            f"## {markdown_escaped(words.table_title(board, table))}",
            _markdown_table([name for name, _ in columns], rows, columns),
        ]
        parts.append("\n".join(markdown_escaped(line) for line in words.first_place_lines(board, table)))
    heads, rows = words.aggregate_rows(board)
    if rows:
        parts += [
            f"## {markdown_escaped(words.many_tables_title(board))}",
            _markdown_table(heads, rows, [(name, name != "arm") for name in heads]),
        ]
    parts += [
        "## Summary",
        "\n".join(
            f"- {markdown_escaped(line)}"
            for line in (*words.summary_lines(board), *board.notes, words.legend_text(board))
        ),
    ]
    if board.warnings:
        parts += ["## Warnings", "\n".join(f"- {markdown_escaped(line)}" for line in board.warnings)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], columns: Sequence[tuple[str, bool]]) -> str:
    lines = [heads, ["---:" if right else "---" for _, right in columns]]
    body = [[markdown_escaped(cell) for cell in row] for row in rows]
    return "\n".join(
        f"| {' | '.join(line)} |" for line in [[markdown_escaped(head) for head in lines[0]], lines[1], *body]
    )


def markdown_escaped(text: str) -> str:
    """The text on one line, with a backslash before everything that Markdown or HTML would interpret."""
    return re.sub(r"([\\`*_\[\]<>|~&#])", r"\\\1", " ".join(text.split()))
