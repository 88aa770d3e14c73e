"""Printing and writing the leaderboard, of recorded runs or of any scores: terminal, JSON and files."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench.numbers import count_text
from selbench.report.board import Board
from selbench.report.build import build_board
from selbench.report.notes import drawn_once_notes, mixture_warnings, target_leak_warnings
from selbench.report.page import write_page
from selbench.report.printing import print_board, print_files
from selbench.report.published import published_blocks
from selbench.report.tables import write_tables
from selbench.report.tidy import BASELINE, runs_table, task_table
from selbench.store.axes import require_distinct_labels
from selbench.store.item_scores import ItemScores
from selbench.store.newest import current_results
from selbench.store.records import Record

log = logging.getLogger("selbench.report")

SHOWN = 8  # how many of a board's warnings are printed; the files have all of them


def board_of(records: Sequence[Record], runs: Path | None = None, **options: Any) -> Board:
    """The board of recorded runs, by the options of build_board.

    Only results by the newest code take part; a warning counts the others. With `runs`, the folder of the records,
    item-level results take part in the verdicts. Raises UserError if two different arms have the same label, or two runs
    fall on one place.
    """
    current = current_results(records)
    require_distinct_labels(record.axes for record in current.records)
    items = ItemScores(runs, current.records) if runs else None
    board = build_board(runs_table(current.records), items, tasks=task_table(current.records), **options)
    leaking = target_leak_warnings(board.tables, current.records)
    said = [*filter(None, [current.sentence()]), *leaking, *mixture_warnings(board.tables, current.records)]
    shared = drawn_once_notes(board.tables, current.records)
    return dataclasses.replace(board, warnings=(*said, *board.warnings), notes=(*board.notes, *shared))


def show_records(
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

    With `runs`, the folder of the records, item-level results take part in the verdicts. `plan` is planned and actual
    cost per kind of stage (see page.write_page). Raises UserError as board_of does, or if a file cannot be written.
    """
    board = board_of(records, runs, baseline=baseline, **options)
    show_board(board, csv, current_results(records).records, runs, all_tables=all_tables, as_json=as_json, plan=plan)
    return board


def show_board(
    board: Board,
    csv: Path | None = None,
    records: Sequence[Record] = (),
    runs: Path | None = None,
    *,
    all_tables: bool = False,
    as_json: bool = False,
    plan: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Print a board, or with `as_json` nothing but its JSON, and write its files if `csv` is given.

    `records` are the runs behind the board, if any; `runs` is their folder. Raises UserError if a file cannot be written.
    """
    if as_json:
        json.dump(board.plain(), sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    else:
        print_board(board, published_blocks(records), all_tables)
    for warning in board.warnings[:SHOWN]:
        log.warning(warning)
    if len(board.warnings) > SHOWN:
        log.warning(f"{count_text(len(board.warnings) - SHOWN)} more warnings of this kind are in the files.")
    if csv:
        tables = write_tables(board, csv)
        page = csv.with_suffix(".html")
        write_page(page, board, records, runs, title=title_of(records) or csv.stem, plan=plan)
        print_files(tables, page)


def title_of(records: Sequence[Record]) -> str:
    """The names of the comparisons that the records belong to; empty without records."""
    return ", ".join(dict.fromkeys(record.comparison for record in records))
