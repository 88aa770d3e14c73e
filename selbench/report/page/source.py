"""What the page is made from, with the questions that several panels ask of it."""

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

# The words of a setting that a reader knows it by, in this order (`varied` relies on the first three); keys and hashes
# are left to the details.
WORDS = ("suite", "task", "metric", "model", "pool", "trainer", "match", "comparison")
NAMED = ("suite", "task")


@dataclass(frozen=True)
class View:
    """One choice of a panel's first menu: what it is called, and its data as plain values."""

    label: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One panel of the page. The page's script draws `views` with its function of the same `name`.

    `by` is a second menu: (value, label, why it cannot be chosen or ""). Without views, `missing` says why and what
    would fill the panel.
    """

    name: str
    title: str
    caption: str
    views: tuple[View, ...] = ()
    menu: str = "Table"
    by: tuple[tuple[str, str, str], ...] = ()
    by_menu: str = ""
    missing: str = ""
    kind: str = "figure"


@dataclass(frozen=True, eq=False)
class Source:
    """A board, the records behind it by key, their folder, and the plan, where there are any."""

    board: Board
    records: Mapping[str, Record]
    runs_root: Path | None
    plan: Sequence[Mapping[str, Any]] | None

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The words in which the board's settings differ."""
        settings = [tuple(str(table.setting.get(word) or "") for word in WORDS) for table in self.board.tables]
        words = {word: {setting[i] for setting in settings} for i, word in enumerate(WORDS)}
        # A metric that follows from suite and task tells nothing more.
        if len({setting[:2] for setting in settings}) == len({setting[:3] for setting in settings}):
            words.pop("metric")
        return tuple(word for word, values in words.items() if len(values) > 1)

    def setting_label(self, setting: Mapping[str, Any]) -> str:
        """What tells this setting from the others: suite and task, and whatever else differs on this board."""
        words = [word for word in WORDS if word in NAMED or word in self.varied]
        parts = [str(setting.get(word) or "") for word in words]
        return " · ".join(part for part in parts if part) or "all scores"

    def table_label(self, table: Table) -> str:
        label = self.setting_label(table.setting)
        return f"{label} · {table.budget}" if table.budget else label

    @cached_property
    def settings(self) -> list[list[Table]]:
        """Tables of one setting together, in the board's order."""
        groups: dict[str, list[Table]] = {}
        for table in self.board.tables:
            groups.setdefault(json.dumps(table.setting, sort_keys=True, default=str), []).append(table)
        return list(groups.values())

    @cached_property
    def arms(self) -> list[str]:
        """All arms, the baseline first, then as they come: their places fix colours and markers."""
        names = dict.fromkeys(row.arm for table in self.board.tables for row in table.rows)
        return sorted(names, key=lambda name: name != self.board.baseline)

    @cached_property
    def interval_words(self) -> str:
        """What `spread` gives on this board, in words."""
        if any(is_known(row.low) for table in self.board.tables for row in table.rows):
            return f"the {percent_text(self.board.confidence)} interval"
        return "one standard error either side"

    def runs(self, row: ArmRow) -> list[Record]:
        return [self.records[key] for key in row.runs if key in self.records]

    def ids(self, record: Record) -> frozenset[str] | None:
        """The ids that a run selected; None where its selection is not at hand."""
        if self.runs_root is None:
            return None
        path = Records(self.runs_root).folder(record.key) / SELECTION
        try:
            return frozenset(json.loads(path.read_text(encoding="utf-8"))["ids"])
        except (OSError, ValueError, KeyError):
            return None


def rankable(table: Table) -> list[ArmRow]:
    """The arms that compete, best first: not those that stand beside them as a reference (base, full)."""
    return [row for row in table.rows if not row.reference]


def find_baseline(table: Table, baseline: str) -> ArmRow | None:
    """The baseline's row, at this table's budget where it has one."""
    rows = [row for row in table.rows if baseline in (row.arm, row.selector)]
    return next((row for row in rows if not row.reference), rows[0] if rows else None)


def interval_ends(row: ArmRow) -> tuple[float, float]:
    """The ends of a score's interval, or one standard error either side where there is no interval."""
    return (row.low, row.high) if is_known(row.low) else (row.score - row.se, row.score + row.se)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> dict[str, Any]:
    """A plain table: the first `words` columns hold words, the others numbers."""
    return {"columns": [{"label": name, "numeric": i >= words} for i, name in enumerate(columns)], "rows": rows}
