"""`selbench key=value ...` and `selbench -m ...`: one run, or a grid of them, through Hydra.

Every cell is composed and checked before the first one starts: a mistake costs a second, not a night.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from selbench import console
from selbench.cli.main import help_text
from selbench.cli.watch import watching
from selbench.config.program import CommandLine, arguments_for_hydra, command_line, hand_over, launch
from selbench.config.runs import Cell, composed
from selbench.data.commits import settle, settled_rows
from selbench.errors import PluginError, UserError
from selbench.files import written_aside
from selbench.numbers import digits_text, duration_text
from selbench.settings import Run, dtype_warning
from selbench.store.files import writing
from selbench.store.outputs import Outputs
from selbench.store.records import Record, distinct
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
        keys = _checked_keys([cell.run for cell in cells])
    if typed.multirun:
        return _run_grid(typed, cells, keys, arguments)
    return 0 if _run_cell(cells[0].run) else 1


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
    started = time.perf_counter()
    with watching(sweep):
        launch(typed, cells, sweep.id, _run_launched_cell)
    return _print_summary(run, sweep, time.perf_counter() - started)


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
    sweep.start(command, runs[0].comparison, rows, budgets_by_ranking(runs), settled_rows())


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


def _run_launched_cell(run: Run, number: int) -> None:
    """Run one cell of a grid, perhaps in a process of the launcher's: it shows warnings only once told to."""
    with console.warnings_shown():
        _run_cell(run, number)


def _run_cell(run: Run, number: int = 0) -> bool:
    """Carry out one run and note it in its sweep, if it is a cell of one. False if the run failed, which raises nothing."""
    sweep = Outputs(run.output_dir).sweeps.open(run.sweep) if run.sweep else None
    if sweep:
        settle(
            sweep.about.get("hub") or ()
        )  # the keys of the grid are of these commits, wherever a cell is carried out
    else:
        ended = carry_out_and_report(run, "", lambda work: None)
        return bool(ended and ended[0].status != "failed")
    if run.fail_fast and sweep.failed:
        sweep.done(number, "", "stopped", reused=False)
        return False
    place = f"[{number + 1}/{sweep.about['cells']}] "
    sweep.begin(number, place)
    ended = carry_out_and_report(run, place, lambda work: sweep.note(number, work))
    record, reused = ended or (None, False)
    sweep.done(number, record.key if record else "", record.status if record else "failed", reused)
    if not console.terminal():  # on a terminal, the line under the sweep shows it
        console.say(f"{place}{sweep.progress().line}")
    return bool(record and record.status != "failed")


def carry_out_and_report(run: Run, place: str, note: Callable[[str], None]) -> tuple[Record, bool] | None:
    """Carry out a run, report its progress and its scores, and mirror its record to MLflow.

    Args:
        place: what stands before each message: the cell's number among all, or nothing for a run alone.
        note: called with a few words for each step of the run.

    Returns the record and whether it existed before; None if a mistake of the user's left no record.
    """
    from selbench.run.carry_out import carry_out  # imported late: it takes seconds
    from selbench.run.identity import run_axes
    from selbench.run.plugin_call import described
    from selbench.tracking.mirror import mirror_record

    records = Outputs(run.output_dir).records
    title = place + run_axes(run).name
    started = time.perf_counter()

    def say(work: str) -> None:
        note(work)
        console.say(f"{title}: {work}")

    try:
        record, reused = carry_out(run, say)
    except UserError as error:
        console.fail(f"{place}{error}")
        return None
    except Exception as error:  # a stranger's pool may raise anything: the other cells go on
        console.fail(f"{title}: {described(error)}")
        return None
    _report_record(record, place, "already done" if reused else f"{time.perf_counter() - started:.1f} s", reused)
    if not place:
        console.out.print(str(records.folder(record.key)), soft_wrap=True)
    mirror_record(record, records.folder(record.key), run, reused)
    return record, reused


def _report_record(record: Record, place: str, how: str, reused: bool) -> None:
    again = f" (as before; retry={record.status} runs it again)" if reused else ""
    if record.status == "failed":
        console.fail(f"{place}{record.name}: {record.reason}{again}")
    elif record.status == "skipped":
        console.say(f"{place}{record.name}: skipped, {record.reason}{again}")
    else:
        scores = ", ".join(f"{suite} {digits_text(value, 4)}" for suite, value in record.headline.items())
        console.say(f"{place}{record.name}: {scores} ({how})")


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
