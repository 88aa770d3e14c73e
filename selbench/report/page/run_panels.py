"""Panels about the runs: equal training, leaks, planned and actual cost, and published figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from selbench.numbers import UNKNOWN, count_text, decimals, is_known, seconds_text
from selbench.report.board import ArmRow, Table
from selbench.report.notes import token_count
from selbench.report.page.rows import leak_findings
from selbench.report.page.source import Panel, Source, View, find_baseline, plain_table, rankable
from selbench.report.page.typeset import number_text, signed_percent_text, signed_text
from selbench.report.published import published_blocks
from selbench.store.records import Record

UNFAIR = 0.10  # arms whose tokens or steps differ from the baseline's by more than this share are flagged
TOTAL = "total"  # the last row of a plan; not drawn as a bar, beside which the stages would look small


def fairness_panel(source: Source) -> Panel:
    """Response tokens and steps per arm; for budgets that were run in both units, both side by side."""
    views = [View(source.table_label(table), _fairness_table(source, table)) for table in source.board.tables]
    for tables in source.settings:
        data = _both_units_table(tables)
        if data["rows"]:
            views.append(View(f"{source.setting_label(tables[0].setting)} · examples beside tokens", data))
    return Panel(
        "fairness",
        "Equal budgets, equal training?",
        "A method that prefers long responses trains on more tokens under the same budget of examples. Arms that "
        "differ from the baseline by more than 10 % in the tokens trained on or in steps are flagged. Cut examples are "
        "longer than the training context; of the dropped ones no response is left within it.",
        tuple(view for view in views if view.data["rows"]),
        missing="These scores come without token counts and steps. Runs of selbench record them.",
        kind="table",
    )


def _fairness_table(source: Source, table: Table) -> dict[str, Any]:
    rows = [row for row in rankable(table) if is_known(row.response_tokens) or is_known(row.steps)]
    baseline = find_baseline(table, source.board.baseline)
    name = baseline.arm if baseline else source.board.baseline
    field, counted = token_count(rows)
    columns = [
        "Method",
        "Verdict",
        "Examples",
        "Trained",
        "Cut",
        "Dropped",
        "Response tokens",
        f"{counted.capitalize()}",
        f"against {name}",
        "Not fitting",
        "Steps",
        f"against {name}",
    ]
    return plain_table(columns, [_fairness_row(row, baseline, field) for row in rows], words=2)


def _fairness_row(row: ArmRow, baseline: ArmRow | None, field: str) -> list[str]:
    """`field` is the count of response tokens that the arms are compared by."""
    tokens = _relative_difference(getattr(row, field), getattr(baseline, field) if baseline else math.nan)
    steps = _relative_difference(row.steps, baseline.steps if baseline else math.nan)
    off = [name for name, share in (("tokens", tokens), ("steps", steps)) if is_known(share) and abs(share) > UNFAIR]
    verdict = "baseline" if row is baseline else f"⚠ {' and '.join(off)} differ" if off else "within 10 %"
    if row is not baseline and not (is_known(tokens) or is_known(steps)):
        verdict = UNKNOWN
    return [
        row.arm,
        verdict,
        *(count_text(value) for value in (row.examples, row.trained, row.cut, row.dropped, row.response_tokens)),
        count_text(getattr(row, field)),
        signed_percent_text(tokens),
        f"{number_text(100 * row.tokens_lost, 1)} %" if is_known(row.tokens_lost) else UNKNOWN,
        count_text(row.steps),
        signed_percent_text(steps),
    ]


def _relative_difference(value: float, reference: float) -> float:
    return value / reference - 1 if is_known(value) and is_known(reference) and reference else math.nan


def _both_units_table(tables: list[Table]) -> dict[str, Any]:
    """Scores and differences under the same budget in examples and in response tokens, side by side."""
    by_budget = {table.budget: table for table in tables}
    rows = []
    for budget, table in by_budget.items():
        tokens = by_budget.get(f"{budget} tok")
        other = {row.arm: row for row in tokens.rows} if tokens else {}
        places = decimals(row.score for row in table.rows)
        for row in rankable(table):
            if row.arm in other:
                rows.append([row.arm, budget, *_score_texts(row, places), *_score_texts(other[row.arm], places)])
    names = ["score, examples", "difference, examples", "score, tokens", "difference, tokens"]
    return plain_table(["Method", "Budget", *names], rows, words=2)


def _score_texts(row: ArmRow, places: int) -> tuple[str, str]:
    difference = row.vs_baseline.mean if row.vs_baseline else math.nan
    return number_text(row.score, places), signed_text(difference, places)


def leaks_panel(source: Source) -> Panel:
    """The findings of the leak check: examples that overlap with the suite's items."""
    where: dict[tuple[str, str, str, str], list[str]] = {}
    for table in source.board.tables:
        for row in table.rows:
            found = next((text for run in source.runs(row) if (text := _finding_text(run))), "")
            if row.leaked is not None or found:
                leaked = UNKNOWN if row.leaked is None else count_text(row.leaked)
                where.setdefault((row.arm, found or UNKNOWN, leaked, _target_text(source, row)), []).append(
                    source.table_label(table)
                )
    rows = [
        [arm, tables[0] if len(tables) == 1 else f"{len(tables)} tables", found, leaked, target]
        for (arm, found, leaked, target), tables in where.items()
    ]
    columns = [{"label": name, "numeric": name.startswith("Leaked")} for name in _LEAK_COLUMNS]
    data = {"columns": columns, "rows": rows}
    return Panel(
        "leaks",
        "Leak check",
        "Selected examples whose text overlaps with items of the suite (the same text, or long common word sequences), and "
        "targets that hold such items: a method that looks at them selects with the test in view. Nothing is left out "
        "unless leaks=drop says so; the pool's name then says it too.",
        (View("all tables", data),) if rows else (),
        missing="No leak check is recorded with these scores. Runs that check pool and target examples against the "
        "suite's items would fill this.",
        kind="table",
    )


_LEAK_COLUMNS = ("Method", "Table", "Findings", "Leaked examples", "Target")


def _target_text(source: Source, row: ArmRow) -> str:
    """What the targets of an arm hold of its suites; a dash for an arm without a target."""
    found = {suite: about for run in source.runs(row) for suite, about in run.leaks.items() if about.target}
    said = [line for suite, about in found.items() for line in about.target_sentences(suite)]
    return "; ".join(dict.fromkeys(said)) or ("no test items" if found else UNKNOWN)


def _finding_text(run: Record) -> str:
    """The findings in a line of at most 240 characters, without the count; the row's details show them whole."""
    found = {name: value for name, value in leak_findings(run).items() if not isinstance(value, int | float)}
    text = "; ".join(_described(value) for value in found.values())
    return text if len(text) <= 240 else f"{text[:239]}…"


def _described(value: Any) -> str:
    """Nested findings in a line; a part with `items` and `leaked` reads `3 of 200 items`."""
    if not isinstance(value, Mapping):
        return str(value)
    if {"items", "leaked"} <= value.keys():
        leaked = value["leaked"]
        return f"{count_text(leaked if isinstance(leaked, int) else len(leaked))} of {count_text(value['items'])} items"
    return ", ".join(f"{name}: {_described(inner)}" for name, inner in value.items())


def plan_panel(source: Source) -> Panel:
    """Planned and actual seconds per kind of stage; without a plan, the actual seconds."""
    rows: list[Mapping[str, Any]] = [*source.plan] if source.plan else _spent_seconds(source)
    stages = [
        {"stage": str(row["stage"]), "planned": row.get("planned_s"), "actual": row.get("actual_s")}
        for row in rows
        if row["stage"] != TOTAL
    ]
    table = [
        [
            str(row["stage"]),
            count_text(row.get("planned_n")),
            seconds_text(row.get("planned_s")),
            count_text(row.get("actual_n")),
            seconds_text(row.get("actual_s")),
            signed_percent_text(_off_by(row.get("planned_s"), row.get("actual_s"))),
        ]
        for row in rows
    ]
    columns = ["Stage", "Planned", "Planned [s]", "Run", "Run [s]", "Off by"]
    about = "Wall-clock seconds by kind of stage."
    if not source.plan:
        about += (
            " No plan was given for these runs, so only what they cost is shown; a stage that several runs share counts "
            "once for each."
        )
    return Panel(
        "plan",
        "Planned against actual cost",
        about,
        (
            View(
                "all runs",
                {
                    "runs": len(source.records),
                    "stages": stages,
                    "table": plain_table(columns, table),
                },
            ),
        )
        if stages
        else (),
        missing="These scores come without costs and without a plan. Runs of selbench record costs.",
    )


def _off_by(planned: Any, actual: Any) -> float:
    return _relative_difference(actual, planned) if is_known(actual) and is_known(planned) else math.nan


def _spent_seconds(source: Source) -> list[Mapping[str, Any]]:
    totals: dict[str, float] = {}
    for run in source.records.values():
        for stage, cost in run.cost.items():
            totals[stage] = totals.get(stage, 0.0) + cost.get("wall_s", 0.0)
    return [{"stage": stage, "actual_s": value} for stage, value in totals.items()]


def published_panel(source: Source) -> Panel:
    """Published figures that an experiment stores, beside those measured here."""
    blocks = published_blocks(source.records.values())
    views = []
    for block in blocks:
        rows = block.get("rows", [])
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = [[str(row.get(name, "")) for name in names] + [_measured_here(source, row)] for row in rows]
        views.append(
            View(str(block.get("source", "no source given")), plain_table([*names, "measured here"], table, 99))
        )
    return Panel(
        "published",
        "Published beside measured",
        "Published figures were not measured here. Pools, models, recipes and metrics differ unless the note says "
        "otherwise.",
        tuple(views),
        menu="Source",
        missing="No experiment of these runs stores published figures (a block named published in its configuration).",
        kind="table",
    )


def _measured_here(source: Source, wanted: Mapping[str, Any]) -> str:
    """The scores measured here for the selector and budget of a published row; `100%` means an arm without a budget."""
    budget = str(wanted.get("budget", ""))
    found = []
    for table in source.board.tables:
        places = decimals(row.score for row in table.rows)
        for row in table.rows:
            if row.selector == wanted.get("selector") and (not budget or budget == (row.budget or "100%")):
                error = f" ± {number_text(row.se, places)}" if is_known(row.se) else ""
                found.append(f"{number_text(row.score, places)}{error} ({source.table_label(table)})")
    return "; ".join(dict.fromkeys(found)) or UNKNOWN
