"""`selbench key=value ...` and `selbench -m ...`: one run, or a grid of them, through Hydra.

Every cell is composed and checked before the first one starts: a mistake costs a second, not a night.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from selbench import console
from selbench.cli.cells import run_cell, run_launched_cell
from selbench.cli.main import help_text
from selbench.cli.watch import watching
from selbench.cli.wave_jobs import note_lost, run_cell_job, run_stage_job, write_jobs
from selbench.config.launchers import require_ready
from selbench.config.program import (
    CommandLine,
    Wave,
    arguments_for_hydra,
    command_line,
    hand_over,
    launch,
    launched,
)
from selbench.config.runs import Cell, composed
from selbench.data.commits import settled_rows
from selbench.errors import PluginError
from selbench.files import written_aside
from selbench.launch.isolation import is_isolated
from selbench.launch.ray_messages import messages_awaited
from selbench.launch.slurm_jobs import jobs_watched
from selbench.numbers import counted_text, duration_text
from selbench.settings import Run, dtype_warning
from selbench.store.files import writing
from selbench.store.outputs import Outputs
from selbench.store.records import distinct
from selbench.store.sweeps import PLAN, Sweep


def main(arguments: list[str]) -> int:
    """Exit status 0 if every run finished or was skipped, 1 if one failed or did not start."""
    typed = command_line(arguments)
    if typed.help:
        print(help_text(), end="")
        return 0
    if typed.for_hydra:
        hand_over(arguments_for_hydra(arguments, typed))
        return 0
    with _no_exit():
        cells = composed(typed.overrides, typed.multirun, typed.config_dir)
        require_ready(cells[0].launcher)
        keys = _checked_keys([cell.run for cell in cells])
    if typed.multirun:
        return _run_grid(typed, cells, keys, arguments)
    return 0 if run_cell(cells[0].run, isolated=is_isolated(cells[0].run)) else 1


def _run_grid(typed: CommandLine, cells: list[Cell], keys: list[str], arguments: list[str]) -> int:
    run = cells[0].run
    id = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:6]}"
    sweep = Outputs(run.output_dir).sweeps.open(f"{id}-{os.getpid()}")
    with _no_exit():
        _write_sweep(sweep, cells, keys, arguments)
        unfit = _write_plan(sweep, [cell.run for cell in cells])
    for sentence in [*unfit, *_target_leaks(cells)]:
        console.warn(sentence)
    if warning := dtype_warning([cell.run for cell in cells]):
        console.warn(warning)
    console.say(f"sweep {sweep.id}: {len(cells)} cells")
    launcher = cells[0].launcher
    sent = launched(cells, sweep.id)
    waves = [Wave(run_launched_cell, [cell.overrides for cell in sent])]
    if not launcher.in_order:
        with _no_exit():
            waves = _waves(sweep, sent)
    started = time.perf_counter()
    with watching(sweep), messages_awaited(launcher.engine), jobs_watched(launcher.engine, console.warn) as lost:
        problems = launch(typed, waves)
    note_lost(sweep, [cell.run for cell in sent], lost)
    for problem in problems:
        console.fail(f"a job of the launcher '{launcher.name}' has failed: {problem}")
    return _print_summary(run, sweep, time.perf_counter() - started)


def _waves(sweep: Sweep, cells: Sequence[Cell]) -> list[Wave]:
    """The jobs of a sweep under a launcher: one for each stage that cells share, if there are any, then one for each cell."""
    from selbench.planning.demands import Grid
    from selbench.planning.waves import shared_stages

    runs = [cell.run for cell in cells]
    shared = shared_stages(Grid(runs))
    options = runs[0].resolved["jobs"]
    if problem := write_jobs(sweep, runs, shared):
        console.warn(problem)
        shared = []
    waves = [Wave(run_cell_job, [cell.overrides for cell in cells], options["cells"], may_fail=True)]
    if shared:
        first = [cells[stage.cells[0]].overrides for stage in shared]
        waves.insert(0, Wave(run_stage_job, first, options["stages"], may_fail=True))
        console.say(f"first {counted_text(len(shared), 'stage')} that cells share, then the cells")
    return waves


@contextmanager
def _no_exit() -> Iterator[None]:
    """A plugin that ends the process while its options are read must not end the command with a status of its own."""
    try:
        yield
    except SystemExit as error:
        file = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"{file.filename}, line {file.lineno}, tried to end the process (SystemExit: {error}). Nothing was started."
        ) from error


def _checked_keys(runs: list[Run]) -> list[str]:
    """The keys of the runs. Raises UserError for every mistake that shows before any work: files, folders, budgets."""
    from selbench.run.identity import checked_keys  # imported late: a misspelt setting is reported before this second

    return checked_keys(runs)


def _write_sweep(sweep: Sweep, cells: list[Cell], keys: list[str], arguments: list[str]) -> None:
    """Write sweep.json, with the command and its cells, before the first cell starts."""
    from selbench.run.identity import run_axes
    from selbench.run.reach import budgets_by_ranking

    runs = [cell.run for cell in cells]
    rows = [
        {"name": run_axes(cell.run).name, "key": key, "overrides": cell.overrides} for cell, key in zip(cells, keys)
    ]
    command = shlex.join(["selbench", *arguments])
    launcher = cells[0].launcher
    if launcher.engine == "submitit_local":  # it starts all jobs at once
        launcher = dataclasses.replace(launcher, at_once=len(cells), stages_at_once=len(cells))
    about = dataclasses.asdict(launcher)
    sweep.start(command, runs[0].comparison, rows, budgets_by_ranking(runs), settled_rows(), about)


def _write_plan(sweep: Sweep, runs: list[Run]) -> tuple[str, ...]:
    """Write plan.json, so that the time and disk that were planned can be compared with those that were used.

    Gives the sentences on what does not fit into the memory of the device.
    """
    from selbench.planning.planner import plan_of

    plan = plan_of(runs)
    with writing(sweep.folder) as folder, written_aside(folder / PLAN) as aside:
        aside.write_text(plan.to_json())
    return plan.memory_warnings


def _target_leaks(cells: list[Cell]) -> list[str]:
    from selbench.run.before_selecting import target_leak_sentences

    return target_leak_sentences([cell.run for cell in cells])


def _print_summary(run: Run, sweep: Sweep, seconds: float) -> int:
    """Print the sweep's leaderboard, how its cells ended and where the files are. Gives the exit status."""
    from selbench.planning.planned_and_actual import compare_sweep
    from selbench.report.leaderboard import show_records
    from selbench.tracking.reports import report_artifacts

    results = sweep.results()
    outputs = Outputs(run.output_dir)
    records = outputs.records
    done = distinct(record for result in results.values() if (record := records.read(result["key"])))
    outcome = sweep.outcome()
    if any(record.status == "finished" for record in done):
        plan = compare_sweep(sweep.folder, done, outputs.store)
        csv = outputs.reports / f"{sweep.id}.csv"
        show_records(done, csv=csv, baseline=run.baseline, runs=records.root, plan=plan)
        report_artifacts(sweep, run, sorted(csv.parent.glob(f"{sweep.id}.*")))
    console.say(
        f"{outcome.ended} of {outcome.cells} cells in {duration_text(seconds)}: "
        f"{outcome.finished} finished (of which {outcome.reused} shared or already done), {outcome.skipped} skipped, "
        f"{outcome.failed} failed" + (f", {outcome.not_started} not started." if outcome.not_started else ".")
    )
    if outcome.failed:
        console.say("Failed runs are kept as they are; the same command with retry=failed runs them again.")
    console.say(f"records: {records.root}   sweep: {sweep.folder}")
    if run.tracking.enabled:
        from selbench.tracking.mirror import tracking_uri

        console.say(f"MLflow:  mlflow ui --backend-store-uri {tracking_uri(run)}")
    return 1 if outcome.failed or outcome.not_started else 0
