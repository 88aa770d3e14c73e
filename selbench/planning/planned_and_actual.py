"""What was planned against what it took."""

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

    Counted are stages made since the plan was made, on which these records rest; `ratio` is actual_s / planned_s,
    None where nothing was planned. `store` (OUTPUT/store) holds a line for every stage made; without it, times come
    from the records, where the features of a selection are part of it.
    """
    records = list(records)
    made = list(_executed(plan, records, store) if store else _recorded(plan, records))
    rows = []
    for kind in STAGES:
        planned = [stage for stage in plan.stages if stage.stage == kind and stage.status == "to run"]
        actual = [seconds for stage, seconds in made if stage == kind]
        if planned or actual:
            rows.append(_row(kind, sum(s.seconds or 0.0 for s in planned), len(planned), sum(actual), len(actual)))
    sums = (sum(row[name] for row in rows) for name in ("planned_s", "planned_n", "actual_s", "actual_n"))
    return [*rows, _row("total", *sums)]


def compare_sweep(folder: Path, records: Iterable[Record], store: Path) -> list[dict[str, Any]]:
    """The same for a sweep's folder; no rows if it has no plan, or none that can be read."""
    try:
        plan = Plan.from_json((folder / PLAN).read_text())
    except (OSError, ValueError):
        return []
    return compare_plan(plan, records, store)


def _row(stage: str, planned_s: float, planned_n: int, actual_s: float, actual_n: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "planned_s": planned_s,
        "actual_s": actual_s,
        "planned_n": planned_n,
        "actual_n": actual_n,
        "ratio": actual_s / planned_s if planned_s else None,
    }


def _executed(plan: Plan, records: list[Record], store: Path) -> Iterator[tuple[str, float]]:
    """(stage, seconds) of every stage made since then: one made twice counts twice."""
    ours = {name for record in records for name in record.stages.values()} | {stage.id for stage in plan.stages}
    for line in _lines(store / EXECUTED):
        if line["created"] >= plan.created and {line["key"], line["key"].partition("-")[0]} & ours:
            yield line["kind"], float(line["wall_s"])


def _recorded(plan: Plan, records: list[Record]) -> Iterator[tuple[str, float]]:
    cached = {(stage.stage, stage.id) for stage in plan.stages if stage.status == "cached"}
    seen: set[tuple[str, str]] = set()
    for record in records:
        for label, name in record.stages.items():
            stage, _, part = label.partition("/")
            if (stage, name) in cached | seen or stage not in record.cost:
                continue
            seen.add((stage, name))
            parts = sum(other.startswith(f"{stage}/") for other in record.stages) if part else 1
            yield stage, record.cost[stage].get("wall_s", 0.0) / parts


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for text in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):  # cut short by a killed process
            yield json.loads(text)
