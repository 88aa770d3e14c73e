"""Panels about the scores: pairs, budget curves, costs, critical differences, tasks, transfer and aggregates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from selbench.numbers import UNKNOWN, decimals, is_known, p_text
from selbench.report.board import Aggregate, ArmRow, Board, Difference, Table
from selbench.report.page.source import WORDS, Panel, Source, View, find_baseline, interval_ends
from selbench.report.page.typeset import interval_text, number_text, signed_percent_text, signed_text
from selbench.report.words import interval_name, interval_sentence, mean_interval_name
from selbench.store.axes import arm_name
from selbench.store.records import Record


def pairs_panel(source: Source) -> Panel:
    """The difference of every pair of arms, one view per table."""
    views = tuple(
        View(source.table_label(table), _pair_matrix(table, source.board))
        for table in source.board.tables
        if table.pairs
    )
    return Panel(
        "pairs",
        "Every pair of methods",
        "Each cell is the row's method against the column's: the difference (above zero: the row is better) and the "
        "p-value after correction. ▲ better, ▼ worse, = cannot be told apart; no mark where nothing could be tested. "
        f"Pointing at a cell shows {interval_sentence(source.board)}.",
        views,
        missing="No table has two arms. Add arms, for example selector=random,mads.",
        kind="table",
    )


def _pair_matrix(table: Table, board: Board) -> dict[str, Any]:
    arms = [row.arm for row in table.rows]
    place = {arm: i for i, arm in enumerate(arms)}
    places = decimals(row.score for row in table.rows)
    cells: list[list[Any]] = [[None] * len(arms) for _ in arms]
    for pair in table.pairs:
        if pair.a in place and pair.b in place:
            a, b = place[pair.a], place[pair.b]
            cells[a][b], cells[b][a] = _pair_texts(pair, places, board), _pair_texts(pair.turned(), places, board)
    return {"arms": arms, "baseline": board.baseline, "cells": cells}


def _pair_texts(pair: Difference, places: int, board: Board) -> list[str]:
    """A cell of the matrix: verdict (empty if not tested), difference, corrected p, interval with its kind."""
    interval = interval_text(*pair.ends(board.intervals), places)
    return [
        pair.verdict if pair.tested else "",
        signed_text(pair.mean, places),
        p_text(pair.p_adjusted),
        f"{interval_name(board)} interval {interval}" if interval else "",
    ]


def curves_panel(source: Source) -> Panel:
    """Score against budget, one view per setting."""
    views = tuple(View(source.setting_label(tables[0].setting), _curve_series(tables)) for tables in source.settings)
    return Panel(
        "curves",
        "Score against budget",
        f"Mean over seeds; bands and whiskers span {source.interval_words}. Arms without a budget are horizontal lines.",
        tuple(view for view in views if view.data["series"]),
        menu="Setting",
        missing="No arm has a budget. Runs with budget=0.1,0.2 would draw a curve.",
    )


def _curve_series(tables: list[Table]) -> dict[str, Any]:
    series: dict[str, list[dict[str, Any]]] = {}
    lines: dict[str, float] = {}
    for table in tables:
        for row in table.rows:
            if row.reference or not row.budget:
                lines[row.arm] = row.score
            elif is_known(row.score):
                amount = row.amount if is_known(row.amount) else None
                point = {"budget": row.budget, "amount": amount, **_score_point(row)}
                series.setdefault(row.arm, []).append(point)
    return {**_score_axis(tables[0]), "series": series, "lines": lines}


def _score_point(row: ArmRow) -> dict[str, Any]:
    low, high = interval_ends(row)
    return {"y": row.score, "low": low, "high": high, "seeds": row.seeds}


def _score_axis(table: Table) -> dict[str, Any]:
    metric = str(table.setting.get("metric") or "score")
    return {"metric": metric, "higher": table.higher_is_better, "places": decimals(row.score for row in table.rows)}


COSTS = (("seconds", "seconds"), ("flops", "FLOPs"), ("money", "money"))


def costs_panel(source: Source) -> Panel:
    """Score against the cost of selection and training, one view per setting."""
    views = tuple(View(source.setting_label(tables[0].setting), _cost_points(tables)) for tables in source.settings)
    points = [point for view in views for point in view.data["points"]]
    have = {name for name, _ in COSTS if any(is_known(point[name]) and point[name] > 0 for point in points)}
    return Panel(
        "costs",
        "Score against total cost",
        "Cost is selection plus training, mean per run. No point has another that is both cheaper and better on the "
        f"line (the Pareto front). Whiskers span {source.interval_words}.",
        tuple(view for view in views if view.data["points"]) if have else (),
        menu="Setting",
        by=tuple((name, label, "" if name in have else "not recorded") for name, label in COSTS),
        by_menu="Cost in",
        missing="These scores come without costs. Runs of selbench record them.",
    )


def _cost_points(tables: list[Table]) -> dict[str, Any]:
    rows = {(row.arm, row.budget): row for table in tables for row in table.rows if is_known(row.score)}
    points = [
        {
            "arm": row.arm,
            "budget": row.budget,
            **_score_point(row),
            "seconds": _total_seconds(row),
            "flops": row.flops,
            "money": row.money,
        }
        for row in rows.values()
    ]
    return {**_score_axis(tables[0]), "points": points}


def _total_seconds(row: ArmRow) -> float:
    """Seconds of selection and training; unknown only if neither is known."""
    parts = [value for value in (row.selection_s, row.training_s) if is_known(value)]
    return sum(parts) if parts else math.nan


def critical_panel(source: Source) -> Panel:
    """Average ranks over settings and tasks, with the groups that cannot be told apart."""
    found = source.board.critical
    ranks = sorted(found.ranks.items(), key=lambda item: item[1])
    data = {"ranks": ranks, "groups": found.groups, "distance": found.distance, "p": found.p, "tables": found.tables}
    return Panel(
        "critical",
        "Average ranks",
        "A description, no verdicts: average rank over settings and tasks (1 is best). Methods joined by a bar cannot be told "
        "apart at the critical difference of Nemenyi's test, which holds for all pairs together (Demšar 2006); Friedman's test "
        "asks once whether all methods are alike.",
        (View("all tables", data),) if ranks else (),
        missing="Average ranks need at least two settings or tasks with the same three methods or more.",
    )


def tasks_panel(source: Source) -> Panel:
    """The difference to the baseline by task, from the records, and by table, from the board."""
    found = [(source.table_label(table), _task_differences(source, table)) for table in source.board.tables]
    views = [View(label, data) for label, data in found if data]
    if len(source.board.tables) > 1:
        views.append(View("all tables", _table_differences(source)))
    return Panel(
        "tasks",
        f"Difference to {source.board.baseline} by task",
        "Blue is better than the baseline, orange worse, whatever the metric; the scale is symmetric about zero. "
        "Single tasks are not tested one by one: look for patterns, not for winners.",
        tuple(view for view in views if view.data["rows"]),
        missing=f"There is no arm {source.board.baseline} to compare with, or one table without scores by task.",
    )


def _task_differences(source: Source, table: Table) -> dict[str, Any] | None:
    baseline = find_baseline(table, source.board.baseline)
    suite = table.setting.get("suite")
    if baseline is None or not source.runs(baseline):
        return None
    against = _task_scores(source.runs(baseline), suite)
    arms = [row for row in table.rows if row is not baseline and source.runs(row)]
    scores = {row.arm: _task_scores(source.runs(row), suite) for row in arms}
    names = [task for task in against if all(task in found for found in scores.values())]
    z = [[_paired_difference(scores[row.arm][task], against[task]) for row in arms] for task in names]
    items = {row.task: row.items for row in source.runs(baseline)[0].scores if row.suite == suite}
    return {
        "rows": names,
        "columns": [row.arm for row in arms],
        "z": z,
        "of": "task",
        "items": [items.get(name) for name in names],
        "seeds": baseline.seeds,
    }


Seeds = dict[Any, float]


def _task_scores(runs: Iterable[Record], suite: Any) -> dict[str, Seeds]:
    """Task -> seed -> score, with its sign changed if lower is better."""
    found: dict[str, Seeds] = {}
    for run in runs:
        for row in run.scores:
            if row.suite == suite and row.headline:
                value = row.value if row.higher_is_better else -row.value
                found.setdefault(row.task, {})[run.axes.seed] = value
    return found


def _paired_difference(arm: Seeds, baseline: Seeds) -> float:
    """The mean difference over common seeds; without one (base has no seed), the difference of the means."""
    common = [arm[seed] - baseline[seed] for seed in arm if seed in baseline]
    if common:
        return sum(common) / len(common)
    return sum(arm.values()) / len(arm) - sum(baseline.values()) / len(baseline)


def _table_differences(source: Source) -> dict[str, Any]:
    tables = [table for table in source.board.tables if any(row.vs_baseline for row in table.rows)]
    arms = [arm for arm in source.arms if any(_baseline_difference(table, arm) is not None for table in tables)]
    return {
        "rows": [source.table_label(table) for table in tables],
        "columns": arms,
        "z": [[_baseline_difference(table, arm) for arm in arms] for table in tables],
        "of": "table",
    }


def _baseline_difference(table: Table, arm: str) -> float | None:
    return next((row.vs_baseline.mean for row in table.rows if row.arm == arm and row.vs_baseline), None)


def transfer_panel(source: Source) -> Panel:
    """The difference to the baseline by scorer and tuned model, one view per method and table."""
    cells: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    other = [word for word in source.varied if word not in ("model", "metric")]
    for table in source.board.tables:
        model = str(table.setting.get("model") or "")
        where = table.named([word for word in WORDS if word in ("suite", "task", "pool") or word in other])
        for row in table.rows:
            if row.scorer and row.vs_baseline and is_known(row.vs_baseline.mean):
                target = row.target if source.has_targets else ""
                view = cells.setdefault((arm_name(row.selector, None, model, target), where), {})
                view[row.scorer, model] = row.vs_baseline.mean
    # A single pair of scorer and model says nothing about transfer.
    views = tuple(
        View(f"{name[0]} · {name[1]}", _transfer_matrix(found)) for name, found in cells.items() if len(found) > 1
    )
    return Panel(
        "transfer",
        "From scorer to model",
        f"Rows: the model that a method looks through; columns: the model that is tuned. Cells: difference to "
        f"{source.board.baseline}, above zero is better.",
        views,
        menu="Method",
        missing="No method was run with two scorers or on two models. scorer=small model=small,large would fill it.",
    )


def _transfer_matrix(found: dict[tuple[str, str], float]) -> dict[str, Any]:
    scorers, models = sorted({scorer for scorer, _ in found}), sorted({model for _, model in found})
    z = [[found.get((scorer, model)) for model in models] for scorer in scorers]
    return {"rows": scorers, "columns": models, "z": z, "of": "scorer"}


# What is said of the intervals of means over tables, by whether they are plain.
_MEAN_INTERVALS = ("all of them hold together", "each by itself, not corrected for the number of methods")


def aggregates_panel(source: Source) -> Panel:
    """The aggregates: one line per method over all tables."""
    rows = sorted(
        source.board.aggregates, key=lambda item: item.average_rank if is_known(item.average_rank) else math.inf
    )
    places = decimals(row.score for table in source.board.tables for row in table.rows)
    opponents = dict.fromkeys([source.board.baseline, "random", "full"])
    names = [
        "Method",
        "Tables",
        "Average rank",
        f"Mean difference to {source.board.baseline}",
        f"Its {mean_interval_name(source.board)} interval",
        *(f"Won / tied / lost against {name}" for name in opponents),
        "Relative to full",
        "Area under the budget curve",
    ]
    data = {
        "columns": [{"label": name, "numeric": i > 0} for i, name in enumerate(names)],
        "rows": [_aggregate_texts(row, places, source.board) for row in rows],
    }
    means = _MEAN_INTERVALS[source.board.intervals == "plain"]
    return Panel(
        "aggregates",
        "Across tables",
        "A description, no verdicts: means over the tables where a method stands with what it is compared with, with an "
        f"interval about other settings and tasks ({means}). The area is the mean score between the "
        "smallest and the largest budget, on a logarithmic scale.",
        (View("all tables", data),) if rows else (),
        missing="There is one table only, or nothing that is compared in more than one.",
        kind="table",
    )


def _aggregate_texts(row: Aggregate, places: int, board: Board) -> list[str]:
    return [
        row.selector,
        str(row.tables),
        number_text(row.average_rank, 2),
        signed_text(row.mean_difference, places),
        interval_text(*row.ends(board.intervals), places) or UNKNOWN,
        *(" / ".join(map(str, wins)) if any(wins) else UNKNOWN for wins in _tallies_by_opponent(row, board.baseline)),
        signed_percent_text(row.relative_to_full),
        number_text(row.budget_area, places),
    ]


def _tallies_by_opponent(row: Aggregate, baseline: str) -> list[tuple[int, int, int]]:
    """Tables won, tied and lost against the baseline, random and full; the baseline may be one of these two."""
    return list({baseline: row.wins_baseline, "random": row.wins_random, "full": row.wins_full}.values())
