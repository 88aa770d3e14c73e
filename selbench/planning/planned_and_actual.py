"""Compares a plan with the stages that were computed after it: their number and the time they took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from selbench.planning.plan import STAGES, Plan
from selbench.store.records import Record
from selbench.store.stages import EXECUTED
from selbench.store.sweeps import PLAN


def compare_plan(plan: Plan, records: Iterable[Record], store: Path | None = None) -> list[dict[str, Any]]:
    """One row per kind of stage, and a last one for the total: stage, planned_s, actual_s, planned_n, actual_n, ratio.

    Counted are the stages that were computed since the plan was made and on which these records rest. `ratio` is
    actual_s / planned_s, None where no time was planned. Times come from the log of the `store`; without a store from
    the records, which count the features of a selection as part of it.
    """
    records = list(records)
    made = list(_logged_stages(plan, records, store) if store else _recorded_stages(plan, records))
    rows = []
    for kind in STAGES:
        planned = [stage for stage in plan.stages if stage.stage == kind and stage.status == "to run"]
        actual = [seconds for stage, seconds in made if stage == kind]
        if planned or actual:
            rows.append(
                _comparison_row(kind, sum(s.seconds or 0.0 for s in planned), len(planned), sum(actual), len(actual))
            )
    sums = (sum(row[name] for row in rows) for name in ("planned_s", "planned_n", "actual_s", "actual_n"))
    return [*rows, _comparison_row("total", *sums)]


def compare_sweep(folder: Path, records: Iterable[Record], store: Path) -> list[dict[str, Any]]:
    """The comparison with the plan in a sweep's folder; no rows if there is no plan that can be read."""
    try:
        plan = Plan.from_json((folder / PLAN).read_text())
    except (OSError, ValueError):
        return []
    return compare_plan(plan, records, store)


def _comparison_row(stage: str, planned_s: float, planned_n: int, actual_s: float, actual_n: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "planned_s": planned_s,
        "actual_s": actual_s,
        "planned_n": planned_n,
        "actual_n": actual_n,
        "ratio": actual_s / planned_s if planned_s else None,
    }


def _logged_stages(plan: Plan, records: list[Record], store: Path) -> Iterator[tuple[str, float]]:
    """(kind, seconds) of every stage that the store has logged since the plan; one computed twice counts twice."""
    ours = {name for record in records for name in record.stages.values()} | {stage.id for stage in plan.stages}
    for line in _json_lines(store / EXECUTED):
        if line["created"] >= plan.created and {line["key"], line["key"].partition("-")[0]} & ours:
            yield line["kind"], float(line["wall_s"])


def _recorded_stages(plan: Plan, records: list[Record]) -> Iterator[tuple[str, float]]:
    """(kind, seconds) of the stages of the records that were not cached when the plan was made, each once."""
    cached = {(stage.stage, stage.id) for stage in plan.stages if stage.status == "cached"}
    seen: set[tuple[str, str]] = set()
    for record in records:
        for label, name in record.stages.items():
            stage, _, part = label.partition("/")
            if (stage, name) in cached | seen or stage not in record.cost:
                continue
            seen.add((stage, name))
            # A record has one cost for all parts of a kind (its suites): each part gets an equal share.
            parts = sum(other.startswith(f"{stage}/") for other in record.stages) if part else 1
            yield stage, record.cost[stage].get("wall_s", 0.0) / parts


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, each as JSON; none if there is no file."""
    for text in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):  # the line of a process that was killed while writing it
            yield json.loads(text)
