"""Assembling and writing the page: one HTML file without dependencies, whose scripts are allowed by their hashes."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import selbench
from selbench.files import written_aside
from selbench.numbers import count_text
from selbench.report import words
from selbench.report.board import Board
from selbench.report.page import rows, run_panels, score_panels, selection_panels, sentences
from selbench.report.page.source import Panel, Source
from selbench.store.files import writing
from selbench.store.records import Record

HERE = Path(__file__).parent
# Joined into one script, in this order. The last part draws the page, and needs the functions of all others.
SCRIPTS = ("dom.js", "verdicts.js", "figures.js", "matrices.js", "tables.js", "panels.js")
PANELS = (
    score_panels.pairs_panel,
    score_panels.curves_panel,
    score_panels.costs_panel,
    score_panels.critical_panel,
    score_panels.aggregates_panel,
    score_panels.tasks_panel,
    score_panels.transfer_panel,
    selection_panels.overlap_panel,
    selection_panels.composition_panel,
    run_panels.fairness_panel,
    run_panels.leaks_panel,
    run_panels.plan_panel,
    run_panels.published_panel,
)
SENTENCES = 12  # with more tables than this, the summary has a sentence per suite instead of one per table


def write_page(
    path: Path,
    board: Board,
    records: Sequence[Record],
    runs_root: Path | None,
    *,
    title: str,
    plan: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write the report of a board to `path`; the file is complete or not written at all.

    `records` are the runs behind the board (none for a table of scores from elsewhere), `runs_root` the folder with
    their files. `plan` has a row per kind of stage: `stage` (`total` for the sum), `planned_s`, `actual_s` (seconds),
    and, if known, `planned_n`, `actual_n` (numbers of stages). Panels without data say what would fill them. Raises
    UserError if the file cannot be written.
    """
    source = Source(board, {record.key: record for record in records}, runs_root, plan)
    text = page_text(source, title)
    with writing(path.parent), written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def page_text(source: Source, title: str) -> str:
    """The page as HTML. Text from data is escaped by jinja2, or read by the script as JSON and shown as text."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # jinja2's tojson escapes markup; NaN is refused, because browsers do not read it as JSON.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.undefined = jinja2.StrictUndefined
    scripts = {"plotly": get_plotlyjs(), "own": "\n".join(_file_text(name) for name in SCRIPTS)}
    return environment.get_template("page.html").render(
        **_page_context(source, title),
        scripts={name: Markup(text) for name, text in scripts.items()},
        style=Markup(_file_text("style.css")),
        policy=_content_policy(scripts.values()),
    )


def _page_context(source: Source, title: str) -> dict[str, Any]:
    board = source.board
    panels = [build(source) for build in PANELS]
    table = rows.verdict_rows(source)
    single = [(source.table_label(table), sentences.table_sentence(table, board)) for table in board.tables]
    many = len(single) > SENTENCES
    return {
        "title": title,
        "version": selbench.__version__,
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "compared": _what_was_compared(source),
        "board": board,
        "summary": sentences.summary_sentences(board),
        "sentences": sentences.suite_sentences(board) if many else single,
        "more": single if many else [],
        "how": sentences.how_tested(board),
        "intervals": words.interval_sentence(board),
        "counts": sentences.count_lines(board.counts),
        "columns": rows.verdict_columns(source),
        "rows": table,
        "menus": rows.filter_menus(table),
        "panels": panels,
        "data": _script_data(source, panels),
    }


def _script_data(source: Source, panels: Sequence[Panel]) -> dict[str, Any]:
    """The data that the page's script reads."""
    views = {panel.name: [view.data for view in panel.views] for panel in panels if panel.views}
    return {
        "baseline": source.board.baseline,
        "arms": source.arms,
        "panels": _six_digits(views),
        "details": _six_digits(rows.row_details(source)),
    }


def _six_digits(value: Any) -> Any:
    """The value as small JSON: numbers in six significant digits, None instead of NaN and infinity."""
    if isinstance(value, dict):
        return {str(name): _six_digits(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_six_digits(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    return float(f"{float(value):.6g}") if math.isfinite(value) else None


def _what_was_compared(source: Source) -> list[tuple[str, str]]:
    """The head of the page as (name, value): suites, models, pools, methods, budgets, and the dates of the runs."""
    board, found = source.board, []
    for word, label in (("suite", "Suites"), ("task", "Tasks"), ("model", "Models"), ("pool", "Pools")):
        values = sorted({str(table.setting[word]) for table in board.tables if table.setting.get(word)})
        if values:
            found.append((label if len(values) > 1 else label[:-1], ", ".join(values)))
    selectors = dict.fromkeys(row.selector for table in board.tables for row in table.rows)
    found.append(("Methods", ", ".join(selectors)))
    budgets = [table.budget for table in board.tables if table.budget]
    found.append(("Budgets", ", ".join(dict.fromkeys(budgets)) or "none"))
    runs = [record.created[:10] for record in source.records.values() if record.created]
    if runs:
        days = min(runs) if min(runs) == max(runs) else f"{min(runs)} to {max(runs)}"
        found.append(("Runs", f"{count_text(len(source.records))}, {days}"))
    return found


def _content_policy(scripts: Any) -> str:
    """The page's content security policy: only our own scripts, named by hash, and no requests."""
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file_text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
