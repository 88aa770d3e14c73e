"""Makes the plan of a grid from its runs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selbench.numbers import counted_text, duration_text
from selbench.planning.demands import Cell, Demand, Grid
from selbench.planning.detectable import detectables
from selbench.planning.estimates import LATEST, Estimator
from selbench.planning.fitting import cut_sentences
from selbench.planning.measured import MeasuredPools
from selbench.planning.memory_sentences import GridMemory
from selbench.planning.needed import contradiction_sentences, needed_of, stated_sentences
from selbench.planning.past import Past
from selbench.planning.plan import STAGES, Plan, PlannedCell, PlannedStage, Settings
from selbench.planning.stand_ins import searchable
from selbench.planning.waves import shared_stages, waves_of
from selbench.planning.work import Workload
from selbench.run.before_selecting import filter_sentences, target_leak_sentences
from selbench.settings import Run, dtype_warning
from selbench.store.item_scores import ItemScores
from selbench.store.outputs import Outputs
from selbench.store.records import RECORD, Record, Records
from selbench.store.stages import now

RECORD_BYTES = 100_000.0  # a record with the files beside it, while there is none to measure


def plan_of(runs: Sequence[Run], settings: Settings | None = None, workers: int | None = None) -> Plan:
    """The plan of a sweep of these runs, none of which is carried out; by default with the price of the first run.

    With `workers`, so many jobs at once, the plan says how long the two waves of a launcher take.

    All runs share one output folder. A pool that is not at hand has its stand-in in them (`StandIns`). Raises UserError
    if a pool or model cannot be read.
    """
    settings = settings or settings_of(runs[0])
    output = runs[0].output_dir
    outputs = Outputs(output)
    records = outputs.records.all()
    grid = Grid(runs, settings.chars_per_token)
    past = Past(outputs.store, records, [ref for run in runs for ref in (run.model, run.scorer)])
    measured = MeasuredPools(outputs.store, settings.chars_per_token)
    work, estimator = Workload(grid, past, settings, measured), Estimator(past, settings)
    memory = GridMemory(grid, measured)
    stages = sorted(
        (_planned_stage(demand, work, estimator, memory) for demand in grid.demands.values()),
        key=lambda s: STAGES.index(s.stage),
    )
    plan = Plan(
        created=now(),
        settings=settings,
        cells=tuple(_planned_cell(cell, grid) for cell in grid.cells),
        stages=tuple(stages),
        detectable=tuple(detectables(grid.cells, records, ItemScores(outputs.records.root, records))),
        record_bytes=_bytes_per_record(outputs.records, records) * len({cell.key for cell in grid.cells if cell.runs}),
        peak_bytes=max((work.of(d).bytes for d in grid.demands.values() if _is_dropped_later(d)), default=0.0),
        free_bytes=float(shutil.disk_usage(_nearest_existing(output)).free),
        needed=tuple(needed_of(grid.cells)),
    )
    if workers:
        plan = dataclasses.replace(plan, waves=waves_of(plan, shared_stages(grid), workers))
    return _with_remarks(plan, grid, measured, past, list(memory.sentences()))


def settings_of(run: Run) -> Settings:
    """The default settings, with the price per device-hour and the currency of a run's configuration."""
    return Settings(price=run.price_per_hour, currency=run.currency)


def _planned_stage(demand: Demand, work: Workload, estimator: Estimator, memory: GridMemory) -> PlannedStage:
    if demand.cached:
        return PlannedStage(demand.stage, demand.id, demand.label, "cached")
    needed = work.of(demand)
    guess = estimator.of(needed)
    held = memory.of(demand) if demand.stage == "training" else None
    return PlannedStage(
        stage=demand.stage,
        id=demand.id,
        label=demand.label,
        status="to run",
        exact=demand.exact,
        seconds=guess.seconds,
        tokens=needed.tokens,
        bytes=guess.bytes,
        basis=guess.basis,
        memory=held.total if held else None,
        source=guess.source,
    )


def _planned_cell(cell: Cell, grid: Grid) -> PlannedCell:
    status = cell.record.status if cell.record else "new"
    stages = tuple(demand.id for demand in grid.of(cell))
    return PlannedCell(cell.number, cell.name, cell.key, status, cell.runs, stages)


def _is_dropped_later(demand: Demand) -> bool:
    """Whether the stage's files are weights that are dropped again once they are evaluated."""
    return demand.stage == "training" and not demand.cached and not demand.run.keep_models


def _bytes_per_record(kept: Records, records: Sequence[Record]) -> float:
    """The median size of the past records and the files beside them."""
    sizes = [sum(about["bytes"] for about in record.files.values()) for record in records if record.files]
    own = [(kept.folder(record.key) / RECORD).stat().st_size for record in records if record.files]
    return float(np.median(np.add(sizes, own))) if sizes else RECORD_BYTES


def _nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _with_remarks(
    plan: Plan, grid: Grid, measured: MeasuredPools, past: Past, memory: Sequence[tuple[bool, str]]
) -> Plan:
    """The plan with its warnings and notes, which depend on its totals."""
    total = plan.total
    cuts = list(cut_sentences(grid, measured))
    runs = [cell.run for cell in grid.cells]
    warnings = contradiction_sentences(runs, measured)
    unfit = [sentence for warns, sentence in memory if warns]
    warnings += [*unfit, *(sentence for much, sentence in cuts if much)]
    notes = [*stated_sentences(runs), *(sentence for much, sentence in cuts if not much)]
    warnings += target_leak_sentences([searchable(cell.run) for cell in grid.cells if cell.runs])
    notes += dict.fromkeys(sentence for cell in grid.cells for sentence in filter_sentences(cell.run))
    if warning := dtype_warning(runs):
        warnings.append(warning)
    if not plan.fits:
        warnings.append("this does not fit on the disk: free some space, or point output_dir elsewhere.")
    if total["unknown"]:
        warnings.append(f"no estimate of time for {counted_text(total['unknown'], 'stage')}: not in the totals.")
    waiting = [cell for cell in grid.cells if cell.record and cell.record.status != "finished" and not cell.runs]
    if waiting:
        notes.append(
            f"{counted_text(len(waiting), 'cell')} ended as failed or skipped before; retry=failed (or all) runs these again."
        )
    trainings = sum(stage.stage == "training" and stage.status == "to run" for stage in plan.stages)
    if trainings and past.output_checks:
        seconds = trainings * float(np.median(past.output_checks[-LATEST:]))
        notes.append(
            f"besides {duration_text(seconds)} for comparing the outputs of tuned models with those of their base, as in "
            "past fine-tunings; the table leaves them out."
        )
    if total["at_most"]:
        notes.append(
            "at most: selections that turn out equal share fine-tuning and evaluation, which is known only once they are made."
        )
    notes += [sentence for warns, sentence in memory if not warns]
    return dataclasses.replace(plan, warnings=tuple(warnings), notes=tuple(notes), memory_warnings=tuple(unfit))
