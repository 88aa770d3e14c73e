"""Carries out the cells of a grid, or one run: reports progress and scores, notes them in the sweep, mirrors the record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from selbench import console
from selbench.config.launchers import cores_here
from selbench.data.commits import settle, settled_rows
from selbench.errors import UserError
from selbench.launch.isolation import is_isolated, limits_of
from selbench.launch.kept_process import JobEndsError, KeptProcess, NotCarriedOutError, ProcessEndedError
from selbench.launch.machine_share import take_gpu, threads_of, use_threads
from selbench.numbers import digits_text
from selbench.placement import gpus_here
from selbench.settings import Run
from selbench.store.outputs import Outputs
from selbench.store.records import Record
from selbench.store.stages import observer
from selbench.store.sweeps import Sweep


def run_launched_cell(run: Run, number: int) -> None:
    """Run one cell of a grid that Hydra carries out in order."""
    with console.warnings_shown():
        run_cell(run, number, is_isolated(run))


def take_share(launcher: Mapping[str, Any], at_once: int | None) -> None:
    """Leave to the processes beside this one, of the same launcher, their part of the machine."""
    use_threads(threads_of(cores_here(), at_once or 1, os.environ))
    if launcher["name"] == "processes":
        take_gpu(gpus_here(), at_once or 1, console.say)


def run_cell(run: Run, number: int = 0, isolated: bool = False) -> bool:
    """Carry out one run and note it in its sweep, if it is a cell of one. False if the run failed, which raises nothing."""
    if not isolated:
        return _run_here(run, number)
    attempt = 1
    while True:
        try:
            about = (run, number, settled_rows())
            return bool(in_kept_process(run, __name__, run_for_parent.__name__, about))
        except NotCarriedOutError as error:
            return note_death(run, number, f"{error} (isolate=false runs it in the process of its launcher)", "")
        except JobEndsError as ended:
            return note_death(run, number, str(ended))
        except ProcessEndedError as ended:
            again = attempt < run.attempts and (run.attempts_at_limit or not ended.limit)
            if not again:
                reason = f"{ended}" + (f" ({attempt} attempts)" if attempt > 1 else "")
                return note_death(run, number, reason, ended.stack)
            attempt += 1
            console.warn(f"{_place(run, number)}{run_title(run)}: {ended}. Attempt {attempt} of {run.attempts} begins.")


def in_kept_process(run: Run, module: str, function: str, arguments: tuple[Any, ...]) -> Any:
    """What a function returns in the kept process of this one, under the time limits of a run; raises as KeptProcess does."""
    return _kept().call(module, function, arguments, limits_of(run))


@cache
def _kept() -> KeptProcess:
    """The process in which this one has cells carried out."""
    return KeptProcess()


def run_for_parent(run: Run, number: int, hub: Sequence[Mapping[str, Any]], tell: Callable[[str, str], None]) -> bool:
    """`run_cell` in a kept process, which tells its parent of each step and stage."""
    settle(hub)
    observer.set(tell)
    with console.warnings_shown():
        return _run_here(run, number, lambda work: tell("step", work))


def _run_here(run: Run, number: int, tell: Callable[[str], None] = lambda work: None) -> bool:
    sweep = _sweep_of(run)
    if sweep:
        settle(
            sweep.about.get("hub") or ()
        )  # the keys of the grid are of these commits, wherever a cell is carried out
    else:
        ended = carry_out_and_report(run, "", tell)
        return bool(ended and ended[0].status != "failed")
    if run.fail_fast and sweep.failed:
        sweep.done(number, "", "stopped", reused=False)
        return False
    place = _place(run, number)
    sweep.begin(number, place)

    def note(work: str) -> None:
        tell(work)
        sweep.note(number, work)

    ended = carry_out_and_report(run, place, note)
    record, reused = ended or (None, False)
    _note_done(sweep, number, record, reused)
    return bool(record and record.status != "failed")


def _sweep_of(run: Run) -> Sweep | None:
    return Outputs(run.output_dir).sweeps.open(run.sweep) if run.sweep else None


def _place(run: Run, number: int) -> str:
    """What stands before messages about a cell: its number among all; nothing for a run alone."""
    sweep = _sweep_of(run)
    return f"[{number + 1}/{sweep.about['cells']}] " if sweep else ""


def _note_done(sweep: Sweep, number: int, record: Record | None, reused: bool) -> None:
    sweep.done(number, record.key if record else "", record.status if record else "failed", reused)
    if not console.terminal():  # on a terminal, the line under the sweep shows it
        console.say(f"[{number + 1}/{sweep.about['cells']}] {sweep.progress().line}")


def note_death(run: Run, number: int, reason: str, stack: str = "") -> bool:
    """Record and report that a run's process has died, and note it in its sweep. Whether another process has finished it."""
    from selbench.run.carry_out import record_death
    from selbench.tracking.mirror import mirror_record

    record = record_death(run, reason, stack)
    _report_record(record, _place(run, number), "", False)
    mirror_record(record, Outputs(run.output_dir).records.folder(record.key), run, False)
    if sweep := _sweep_of(run):
        _note_done(sweep, number, record, False)
    return record.status != "failed"


def run_title(run: Run) -> str:
    """The name of a run."""
    from selbench.run.identity import run_axes

    return run_axes(run).name


def carry_out_and_report(run: Run, place: str, note: Callable[[str], None]) -> tuple[Record, bool] | None:
    """Carry out a run, report its progress and its scores, and mirror its record to MLflow.

    Args:
        place: what stands before each message: the cell's number among all, or nothing for a run alone.
        note: called with a few words for each step of the run.

    Returns the record and whether it existed before; None if a mistake of the user's left no record.
    """
    from selbench.run.carry_out import carry_out  # imported late: it takes seconds
    from selbench.run.plugin_call import described
    from selbench.tracking.mirror import mirror_record

    records = Outputs(run.output_dir).records
    title = place + run_title(run)
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
