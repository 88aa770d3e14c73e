"""The jobs of a sweep under a launcher: those of the first wave compute stages that cells share, the others cells.

A job takes what is ready and free, not what it was launched for. The sweep's folder holds what they need to know.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from selbench import console
from selbench.cli.cells import in_kept_process, note_death, run_cell, take_share
from selbench.data.commits import settle
from selbench.errors import NotApplicable
from selbench.files import written_aside
from selbench.launch.isolation import is_isolated
from selbench.launch.kept_process import NotCarriedOutError, ProcessEndedError
from selbench.numbers import duration_text
from selbench.settings import Run
from selbench.store.claims import Claims
from selbench.store.files import write_json, writing
from selbench.store.outputs import Outputs
from selbench.store.stages import observer
from selbench.store.sweeps import Sweep

if TYPE_CHECKING:
    from selbench.planning.waves import SharedStage

STAGES = "stages.json"  # the stages of the first wave; stages/N.json says how stage N has ended
RUNS = "runs.pickle"  # the run of each cell


def write_jobs(sweep: Sweep, runs: Sequence[Run], shared: Sequence[SharedStage]) -> str:
    """Write what the jobs need into the sweep's folder. Returns why that cannot be, in one sentence; empty if it can."""
    try:
        content = pickle.dumps(list(runs))
    except Exception as error:  # whatever a stranger's object raises
        return (
            f"the cells cannot be handed from process to process ({type(error).__name__}: {error}): each is carried out by its "
            "own job, without a wave of shared stages."
        )
    with writing(sweep.folder) as folder:
        write_json(folder / STAGES, [asdict(stage) for stage in shared])
        with written_aside(folder / RUNS) as aside:
            aside.write_bytes(content)
    return ""


def run_stage_job(run: Run, number: int) -> None:
    """Compute one stage of the first wave: the first that is ready and that no other job has taken."""
    with console.warnings_shown():
        sweep = Outputs(run.output_dir).sweeps.open(str(run.sweep))
        stages: list[dict[str, Any]] = json.loads((sweep.folder / STAGES).read_text())
        runs: list[Run] = pickle.loads((sweep.folder / RUNS).read_bytes())
        launcher = sweep.about["launcher"]
        take_share(launcher, launcher["stages_at_once"])
        results = sweep.folder / "stages"

        def ended(stage: int) -> bool:
            return (results / f"{stage}.json").exists()

        def ready(stage: int) -> bool:
            return all(ended(other) for other in stages[stage]["after"])

        # As launched, so that neighbours begin with different ones.
        order = [*range(number, len(stages)), *range(number)]
        with Claims(results, "stage", shared=run.shared_store).first_ready(order, ended, ready) as taken:
            if taken is not None:
                about = stages[taken]
                place = f"[stage {taken + 1}/{len(stages)}] {about['kind']} of {about['label']}"
                outcome = _computed(about, [runs[cell] for cell in about["cells"]], launcher["engine"], place)
                with writing(results) as folder:
                    write_json(folder / f"{taken}.json", outcome)


def _computed(about: Mapping[str, Any], runs: Sequence[Run], engine: str, place: str) -> dict[str, Any]:
    """How the computation of a stage has ended. An error is told by the cells, each of which meets it again."""
    started = time.perf_counter()
    console.say(f"{place}: computing, for {len(runs)} cells")
    reason = ""
    try:
        if is_isolated(runs[0], engine):
            reason = in_kept_process(
                runs[0], __name__, compute_for_parent.__name__, (about["kind"], about["key"], runs)
            )
        else:
            reason = compute_for_parent(about["kind"], about["key"], runs)
    except (ProcessEndedError, NotCarriedOutError) as error:
        reason = str(error)
    seconds = time.perf_counter() - started
    console.say(f"{place}: {f'not computed, {reason}' if reason else duration_text(seconds)}")
    return {"status": "failed" if reason else "finished", "seconds": seconds, "reason": reason}


def compute_for_parent(
    kind: str, key: str, runs: Sequence[Run], tell: Callable[[str, str], None] = lambda event, text: None
) -> str:
    """Compute a stage, in a kept process that tells its parent, or here. Returns why it failed; empty if it did not."""
    from selbench.run.carry_out import open_store
    from selbench.run.plugin_call import described
    from selbench.run.shared_stage import compute_stage

    token = observer.set(tell)
    try:
        with console.warnings_shown():
            sweep = Outputs(runs[0].output_dir).sweeps.open(str(runs[0].sweep))
            settle(sweep.about.get("hub") or ())
            tell("step", f"computing {kind}")
            compute_stage(kind, key, runs, open_store(runs[0], console.say))
    except NotApplicable as reason:
        return f"it does not apply: {reason}"
    except Exception as error:  # a plugin may raise anything
        return described(error)
    finally:
        observer.reset(token)
    return ""


def run_cell_job(run: Run, number: int) -> None:
    """Carry out one cell: its own, or if another job or sweep is at that, the first that nobody has taken."""
    with console.warnings_shown():
        sweep = Outputs(run.output_dir).sweeps.open(str(run.sweep))
        launcher = sweep.about["launcher"]
        take_share(launcher, launcher["at_once"])
        if not (sweep.folder / RUNS).exists():
            run_cell(run, number, is_isolated(run, launcher["engine"]))
            return
        taken_from(sweep, run, number, lambda one, cell: run_cell(one, cell, is_isolated(one, launcher["engine"])))


def cell_claims(sweep: Sweep, run: Run) -> Claims:
    """Which job has which cell of a sweep."""
    return Claims(sweep.folder / "cells", "cell", shared=run.shared_store)


def taken_from(sweep: Sweep, run: Run, number: int, carry_out: Callable[[Run, int], object]) -> int | None:
    """Take a cell of a sweep for the job with this number, and carry it out. The cell's number; None if none is left."""
    from selbench.run.carry_out import open_store

    rows, locks = sweep.about["rows"], open_store(run).locks

    def ended(cell: int) -> bool:
        return (sweep.folder / "done" / f"{cell}.json").exists()

    def busy(cell: int) -> bool:
        return not locks.free(f"run-{rows[cell]['key']}")

    order = [*range(number, len(rows)), *range(number)]
    with cell_claims(sweep, run).first_free(order, ended, busy, job=number) as taken:
        if taken is not None:
            carry_out(pickle.loads((sweep.folder / RUNS).read_bytes())[taken], taken)
    return taken


def note_lost(sweep: Sweep, runs: Sequence[Run], lost: Mapping[int, str]) -> None:
    """Record that the cells of a sweep have failed whose jobs are lost: number of the job -> reason."""
    results = sweep.results()
    for cell, run in enumerate(runs):
        if cell in results:
            continue
        taker = cell_claims(sweep, run).taker(cell)
        if (job := cell if taker is None else taker) in lost:
            note_death(run, cell, lost[job])
