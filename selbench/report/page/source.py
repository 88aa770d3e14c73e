"""The data that the page is made from, with what several panels need of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from selbench.numbers import is_known, percent_text
from selbench.report.board import ArmRow, Board, Table
from selbench.store.records import SELECTION, Record, Records

# The parts of a setting that label it, in this order (`varied` relies on the first three). Keys are shown in the row
# details only.
WORDS = ("suite", "task", "metric", "suite_options", "model", "pool", "trainer", "match", "comparison")
NAMED = ("suite", "task")  # those that every label has; the others only if they differ within the board


@dataclass(frozen=True)
class View:
    """One entry of a panel's first menu."""

    label: str
    data: dict[str, Any]  # what the page's script draws, as plain values


@dataclass(frozen=True)
class Panel:
    """One panel of the page."""

    name: str  # of the HTML section, and of the function of the page's script that draws a view
    title: str
    caption: str
    views: tuple[View, ...] = ()
    menu: str = "Table"  # label of the menu that chooses the view
    by: tuple[tuple[str, str, str], ...] = ()  # a second menu: value, label, and why it cannot be chosen (or "")
    by_menu: str = ""  # label of the second menu
    missing: str = ""  # shown if there is no view: why, and what would fill the panel
    kind: str = "figure"  # figure or table


@dataclass(frozen=True, eq=False)
class Source:
    """The board that the page shows, and what is known of the runs behind it."""

    board: Board
    records: Mapping[str, Record]  # key -> record; empty for scores from elsewhere
    runs_root: Path | None  # the folder that holds the folders of the records
    plan: Sequence[Mapping[str, Any]] | None  # planned and actual cost per kind of stage (see write.write_page)

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The parts (of WORDS) in which the board's settings differ."""
        settings = [tuple(str(table.setting.get(word) or "") for word in WORDS) for table in self.board.tables]
        words = {word: {setting[i] for setting in settings} for i, word in enumerate(WORDS)}
        # If suite and task determine the metric, it adds nothing to a label.
        if len({setting[:2] for setting in settings}) == len({setting[:3] for setting in settings}):
            words.pop("metric")
        return tuple(word for word, values in words.items() if len(values) > 1)

    @cached_property
    def has_targets(self) -> bool:
        """Whether the arms of the board differ in their targets."""
        return len({row.target for table in self.board.tables for row in table.rows} - {""}) > 1

    def setting_label(self, setting: Mapping[str, Any]) -> str:
        """The setting's suite and task, and the other parts that differ within the board: `planted · task1 · small`."""
        words = [word for word in WORDS if word in NAMED or word in self.varied]
        parts = [str(setting.get(word) or "") for word in words]
        return " · ".join(part for part in parts if part) or "all scores"

    def table_label(self, table: Table) -> str:
        """The label of the table's setting, and its budget."""
        label = self.setting_label(table.setting)
        return f"{label} · {table.budget}" if table.budget else label

    @cached_property
    def settings(self) -> list[list[Table]]:
        """The tables grouped by setting, in the board's order."""
        groups: dict[str, list[Table]] = {}
        for table in self.board.tables:
            groups.setdefault(json.dumps(table.setting, sort_keys=True, default=str), []).append(table)
        return list(groups.values())

    @cached_property
    def arms(self) -> list[str]:
        """All arms, the baseline first; the place of an arm fixes its colour and marker in every figure."""
        names = dict.fromkeys(row.arm for table in self.board.tables for row in table.rows)
        return sorted(names, key=lambda name: name != self.board.baseline)

    @cached_property
    def interval_words(self) -> str:
        """What `interval_ends` gives on this board, in words."""
        if any(is_known(row.low) for table in self.board.tables for row in table.rows):
            return f"the {percent_text(self.board.confidence)} interval of each score by itself, which is no test"
        return "one standard error either side"

    def runs(self, row: ArmRow) -> list[Record]:
        """The records of the arm's runs."""
        return [self.records[key] for key in row.runs if key in self.records]

    def ids(self, record: Record) -> frozenset[str] | None:
        """The ids of the examples that a run selected; None if the file of its selection is missing or unreadable."""
        if self.runs_root is None:
            return None
        path = Records(self.runs_root).folder(record.key) / SELECTION
        try:
            return frozenset(json.loads(path.read_text(encoding="utf-8"))["ids"])
        except (OSError, ValueError, KeyError):
            return None


def rankable(table: Table) -> list[ArmRow]:
    """The arms of the table that are ranked, best first: all but the references (base, full)."""
    return [row for row in table.rows if not row.reference]


def find_baseline(table: Table, baseline: str) -> ArmRow | None:
    """The row of the baseline, if possible one at the table's budget; None if the table has no baseline."""
    rows = [row for row in table.rows if baseline in (row.arm, row.selector)]
    return next((row for row in rows if not row.reference), rows[0] if rows else None)


def interval_ends(row: ArmRow) -> tuple[float, float]:
    """The ends of a score's interval, or, if it has none, one standard error below and above the score."""
    return (row.low, row.high) if is_known(row.low) else (row.score - row.se, row.score + row.se)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> dict[str, Any]:
    """A table as the page's script draws it: the first `words` columns hold words, the others numbers."""
    return {"columns": [{"label": name, "numeric": i >= words} for i, name in enumerate(columns)], "rows": rows}
