"""From the runs of a grid to its plan."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selbench.planning.demands import Cell, Demand, Grid
from selbench.planning.detectable import detectables
from selbench.planning.estimates import Estimates
from selbench.planning.fitting import cut_sentences
from selbench.planning.past import Past
from selbench.planning.plan import STAGES, Plan, PlannedCell, PlannedStage, Settings
from selbench.planning.work import Workload
from selbench.settings import Run
from selbench.store.outputs import Outputs
from selbench.store.records import RECORD, Record, Records
from selbench.store.stages import now

RECORD_BYTES = 100_000.0  # a record with its items, where there is none to look at


def plan_of(runs: Sequence[Run], settings: Settings | None = None) -> Plan:
    """What a sweep of these runs would do, without doing any of it; by default at the runs' own price.

    All runs share one output folder. Raises UserError if a pool or model cannot be read.
    """
    settings = settings or price_of(runs[0])
    output = runs[0].output_dir
    outputs = Outputs(output)
    records = outputs.records.all()
    grid = Grid(runs, settings.chars_per_token)
    past = Past(outputs.store, records, [ref for run in runs for ref in (run.model, run.scorer)])
    work, estimates = Workload(grid, past, settings), Estimates(past, settings)
    stages = sorted(
        (_stage(demand, work, estimates) for demand in grid.demands.values()), key=lambda s: STAGES.index(s.stage)
    )
    plan = Plan(
        created=now(),
        settings=settings,
        cells=tuple(_planned(cell, grid) for cell in grid.cells),
        stages=tuple(stages),
        detectable=tuple(detectables(grid.cells, records)),
        record_bytes=_record_bytes(outputs.records, records) * len({cell.key for cell in grid.cells if cell.runs}),
        peak_bytes=max((work.of(d).bytes for d in grid.demands.values() if _passing(d)), default=0.0),
        free_bytes=float(shutil.disk_usage(_existing(output)).free),
    )
    return _with_remarks(plan, grid)


def price_of(run: Run) -> Settings:
    """Settings with the price per device-hour and the currency that a run is configured with."""
    named = {"price": run.resolved.get("price_per_hour"), "currency": run.resolved.get("currency")}
    return Settings(**{name: value for name, value in named.items() if value is not None})


def _stage(demand: Demand, work: Workload, estimates: Estimates) -> PlannedStage:
    if demand.cached:
        return PlannedStage(demand.stage, demand.id, demand.label, "cached")
    needed = work.of(demand)
    guess = estimates.of(needed)
    return PlannedStage(
        stage=demand.stage,
        id=demand.id,
        label=demand.label,
        status="to run",
        exact=demand.exact,
        seconds=guess.seconds,
        tokens=needed.tokens,
        bytes=guess.bytes,
        source=guess.source,
    )


def _planned(cell: Cell, grid: Grid) -> PlannedCell:
    status = cell.record.status if cell.record else "new"
    stages = tuple(demand.id for demand in grid.of(cell))
    return PlannedCell(cell.number, cell.name, cell.key, status, cell.runs, stages)


def _passing(demand: Demand) -> bool:
    """Weights that are written, evaluated, and dropped again."""
    return demand.stage == "training" and not demand.cached and not demand.run.keep_models


def _record_bytes(kept: Records, records: Sequence[Record]) -> float:
    sizes = [sum(about["bytes"] for about in record.files.values()) for record in records if record.files]
    own = [(kept.folder(record.key) / RECORD).stat().st_size for record in records if record.files]
    return float(np.median(np.add(sizes, own))) if sizes else RECORD_BYTES


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _with_remarks(plan: Plan, grid: Grid) -> Plan:
    total = plan.total
    cuts = list(cut_sentences(grid))
    warnings = [sentence for much, sentence in cuts if much]
    notes = [sentence for much, sentence in cuts if not much]
    if not plan.fits:
        warnings.append("this does not fit on the disk: free some space, or point output_dir elsewhere.")
    if total["unknown"]:
        warnings.append(f"{total['unknown']} stages have no estimate of time and are not in the totals.")
    waiting = [cell for cell in grid.cells if cell.record and cell.record.status != "finished" and not cell.runs]
    if waiting:
        notes.append(
            f"{len(waiting)} cells have ended as failed or skipped before and stay so; retry=failed (or all) runs them again."
        )
    if total["at_most"]:
        notes.append(
            "at most: selections that turn out equal share fine-tuning and evaluation, which is known only once they are made."
        )
    return dataclasses.replace(plan, warnings=tuple(warnings), notes=tuple(notes))
