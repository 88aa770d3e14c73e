"""The leaderboard: on the terminal and as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench import console
from selbench.report import published
from selbench.report.scores import BASELINE, SETTING, board, runs_table
from selbench.store.records import Record
from selbench.store.stages import writing

if TYPE_CHECKING:
    import pandas as pd


def show(records: Sequence[Record], csv: Path | None = None, baseline: str = BASELINE) -> None:
    """Print one table per setting, and write all rows to `csv`."""
    table = board(runs_table(records), baseline)
    for key, part in table.groupby(SETTING, sort=False):
        _print(_title(dict(zip(SETTING, key)), part), _render(dict(zip(SETTING, key)), part, baseline))
    for block in published.published(records):
        _print(published.title(block), published.render(block))
    if baseline not in set(table["selector"]):
        console.warn(f"no arm `{baseline}` to compare with.")
    if BASELINE not in set(table["selector"]):
        console.warn(
            "no arm `random`: without it nobody can tell whether a method selects at all. Add selector=random."
        )
    if csv:
        write_csv(table, csv)
        console.say(f"leaderboard: {csv}")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """All columns, full precision, whole or not at all."""
    with writing(path.parent):
        aside = path.with_name(f".{path.name}")
        table.to_csv(aside, index=False)
        aside.replace(path)


def _print(title: str, table: Any) -> None:
    """The title on a line of its own: over the table it would be folded to the table's width."""
    from rich.text import Text

    console.out.print(Text(title, style="bold"), soft_wrap=True)
    console.out.print(table)
    console.out.print()


def _title(setting: dict[str, Any], part: pd.DataFrame) -> str:
    better = "higher" if part["higher_is_better"].iloc[0] else "lower"
    title = f"{setting['suite']}: {setting['metric']} ({better} is better)   model {setting['model']}   pool {setting['pool']}"
    matched = f", arms matched by {setting['match']}" if setting["match"] else ""
    return f"{title}   trainer {setting['trainer']}{matched}" if setting["trainer"] else title


def _render(setting: dict[str, Any], part: pd.DataFrame, baseline: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    scorers = part["scorer"].isin(["", setting["model"]]).all()
    columns = ["selector", *([] if scorers else ["scorer"]), "budget"]
    for name in columns:
        table.add_column(name, min_width=6 if name == "budget" else 10, overflow="fold")
    for name in ("score ± SE", "seeds", f"vs {baseline} ± SE", "examples", "response tokens", "select s"):
        table.add_column(name, justify="right")
    last = None
    for row in part.to_dict("records"):
        if last is not None and row["budget"] != last:
            table.add_section()
        last = row["budget"]
        table.add_row(*[Text(str(row[name]) or "–") for name in columns], *_cells(row))
    return table


def _cells(row: Mapping[Any, Any]) -> list[str]:
    return [
        _with_error(row["score"], row["se"]),
        str(row["seeds"]),
        _with_error(row["vs_baseline"], row["vs_baseline_se"], sign="+"),
        f"{row['examples']:,.0f}",
        f"{row['response_tokens']:,.0f}",
        f"{row['selection_s']:.1f}",
    ]


def _with_error(value: float, error: float, sign: str = "") -> str:
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")
