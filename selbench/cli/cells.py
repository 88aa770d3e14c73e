"""Carries out the cells of a grid, or one run: reports progress and scores, notes them in the sweep, mirrors the record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from selbench import console
from selbench.config.launchers import cores_here
from selbench.data.commits import settle
from selbench.errors import UserError
from selbench.launch.machine_share import take_gpu, threads_of, use_threads
from selbench.models import gpus_here
from selbench.numbers import digits_text
from selbench.settings import Run
from selbench.store.outputs import Outputs
from selbench.store.records import Record


def run_launched_cell(run: Run, number: int) -> None:
    """Run one cell of a grid, perhaps in a process of the launcher's: it shows warnings only once told to."""
    with console.warnings_shown():
        _take_share(Outputs(run.output_dir).sweeps.open(str(run.sweep)).about["launcher"])
        run_cell(run, number)


def _take_share(launcher: Mapping[str, Any]) -> None:
    """Leave to the processes beside this one, of the same launcher, their part of the machine."""
    if launcher["engine"] == "basic":
        return
    at_once = launcher["at_once"] or 1
    use_threads(threads_of(cores_here(), at_once, os.environ))
    if launcher["name"] == "processes":
        take_gpu(gpus_here(), at_once, console.say)


def run_cell(run: Run, number: int = 0) -> bool:
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
