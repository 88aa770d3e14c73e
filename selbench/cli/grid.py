"""`selbench key=value ...` and `selbench -m ...`: one run, or a grid of them, through Hydra.

Every cell is composed and checked before the first one starts: a mistake costs a second, not a night.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from selbench import console
from selbench.cli.main import plugin_path
from selbench.cli.watch import watching
from selbench.config import PRIMARY, Run, compose_config, compose_run, explain, register, to_run
from selbench.errors import UserError
from selbench.files import written_aside
from selbench.numbers import digits_text, duration_text
from selbench.plugins import Registry, discover
from selbench.presets import CONFIG_MODULE
from selbench.store.files import writing
from selbench.store.outputs import Outputs
from selbench.store.records import Record, distinct
from selbench.store.sweeps import PLAN, Sweep


def main(arguments: list[str]) -> int:
    """Exit status 0 if every run finished or was skipped, 1 if one failed."""
    registry = discover(plugin_path(arguments))
    register(registry)
    flags = get_args_parser().parse_args(arguments)
    if flags.config_name or flags.config_path:
        raise UserError(
            "--config-name and --config-path are fixed; add a folder of your own configs with --config-dir DIR."
        )
    if flags.cfg or flags.info or flags.hydra_help or flags.shell_completion:
        _hydra(arguments)
        return 0
    overrides = list(flags.overrides)
    if flags.config_dir:
        overrides.append(f"hydra.searchpath=[file://{Path(flags.config_dir).resolve()}]")
    if flags.multirun:
        return _grid(overrides, arguments, registry)
    refuse_grid(overrides, registry)
    run = compose_run(overrides, registry)
    _check([run])
    return 0 if _cell(run) else 1


def _grid(overrides: list[str], arguments: list[str], registry: Registry) -> int:
    cells = expand(overrides, registry)
    runs = [compose_run(cell, registry) for cell in cells]
    keys = _check(runs)
    id = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:6]}"
    sweep = Outputs(runs[0].output_dir).sweeps.open(f"{id}-{os.getpid()}")
    _start(sweep, runs, cells, keys, arguments)
    _expect(sweep, runs)
    console.say(f"sweep {sweep.id}: {len(runs)} cells")
    started = time.perf_counter()
    with watching(sweep):
        _hydra([*arguments, f"sweep={sweep.id}"])
    return _summary(runs[0], sweep, time.perf_counter() - started)


def _check(runs: list[Run]) -> list[str]:
    """The keys of the runs. Raises UserError for what can be known to be wrong before any work."""
    from selbench.run.identity import checked_keys  # heavy: only once every cell has been composed

    return checked_keys(runs)


def _start(sweep: Sweep, runs: list[Run], cells: list[list[str]], keys: list[str], arguments: list[str]) -> None:
    """Write down what the sweep is made of, before anything is done."""
    from selbench.run.identity import run_axes
    from selbench.run.reach import budgets_by_ranking

    rows = [{"name": run_axes(run).name, "key": key, "overrides": cell} for run, cell, key in zip(runs, cells, keys)]
    sweep.start(shlex.join(["selbench", *arguments]), runs[0].comparison, rows, budgets_by_ranking(runs))


def _expect(sweep: Sweep, runs: list[Run]) -> None:
    """Keep what this is expected to take, to be compared with what it takes."""
    from selbench.planning.planner import plan_of

    plan = plan_of(runs).to_json()
    with writing(sweep.folder) as folder, written_aside(folder / PLAN) as aside:
        aside.write_text(plan)


def expand(overrides: list[str], registry: Registry) -> list[list[str]]:
    """The cells of a grid as Hydra's basic sweeper makes them: the experiment's own axes, then the command line's."""
    try:
        settled = [text for text in overrides if not _is_sweep(text)]
        config = compose_config([*settled, "hydra.mode=MULTIRUN"], registry, with_hydra=True)
        axes = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*axes, *overrides])
        return [list(cell) for batch in BasicSweeper.split_arguments(parsed, None) for cell in batch]
    except HydraException as error:
        raise UserError(explain(error, registry)) from error


def _is_sweep(text: str) -> bool:
    return bool(OverridesParser.create().parse_override(text).is_sweep_override())


def refuse_grid(overrides: list[str], registry: Registry) -> None:
    """One run has one value per setting; say what to type instead of Hydra's "ambiguous value"."""
    try:
        grids = [text for text in overrides if _is_sweep(text)]
    except HydraException as error:
        raise UserError(explain(error, registry)) from error
    if grids:
        raise UserError(f"{grids[0]} names several values: add -m to run the grid.")
    config = compose_config(overrides, registry, with_hydra=True)
    if config.hydra.sweeper.get("params"):
        raise UserError("this experiment is a grid: add -m, as in `selbench -m experiment=...`.")


def _hydra(arguments: list[str]) -> None:
    """Hand over to Hydra, which runs the job once per cell through its launcher."""
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_MODULE}", config_name=PRIMARY)(_job)()


def _job(config: DictConfig) -> None:
    with console.warnings_shown():  # a launcher may have started a process for this
        _cell(to_run(config), HydraConfig.get().job.num or 0)


def _cell(run: Run, number: int = 0) -> bool:
    """One run, told about, noted in its sweep and mirrored. False if it failed; it never raises for that."""
    sweep = Outputs(run.output_dir).sweeps.open(run.sweep) if run.sweep else None
    if not sweep:
        ended = carry_out_told(run, "", lambda work: None)
        return bool(ended and ended[0].status != "failed")
    if run.fail_fast and sweep.failed:
        sweep.done(number, "", "stopped", reused=False)
        return False
    place = f"[{number + 1}/{sweep.about['cells']}] "
    sweep.begin(number, place)
    ended = carry_out_told(run, place, lambda work: sweep.note(number, work))
    record, reused = ended or (None, False)
    sweep.done(number, record.key if record else "", record.status if record else "failed", reused)
    if not console.terminal():  # on one, the line below shows it
        console.say(f"{place}{sweep.progress().line}")
    return bool(record and record.status != "failed")


def carry_out_told(run: Run, place: str, note: Callable[[str], None]) -> tuple[Record, bool] | None:
    """The record and whether it was there already; None if not even a record could be made."""
    from selbench.run.carry_out import carry_out  # heavy: only once every cell has been checked
    from selbench.run.identity import run_axes
    from selbench.tracking.mirror import mirror

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
    _tell(record, place, "already done" if reused else f"{time.perf_counter() - started:.1f} s", reused)
    if not place:
        console.out.print(str(records.folder(record.key)), soft_wrap=True)
    mirror(record, records.folder(record.key), run, reused)
    return record, reused


def _tell(record: Record, place: str, how: str, reused: bool) -> None:
    again = f" (as before; retry={record.status} runs it again)" if reused else ""
    if record.status == "failed":
        console.fail(f"{place}{record.name}: {record.reason}{again}")
    elif record.status == "skipped":
        console.say(f"{place}{record.name}: skipped, {record.reason}{again}")
    else:
        scores = ", ".join(f"{suite} {digits_text(value, 4)}" for suite, value in record.headline.items())
        console.say(f"{place}{record.name}: {scores} ({how})")


def _summary(run: Run, sweep: Sweep, seconds: float) -> int:
    """The leaderboard of the sweep, and where everything is."""
    from selbench.planning.planned_and_actual import compare_sweep
    from selbench.report.leaderboard import show
    from selbench.tracking.reports import report_artifacts

    results = sweep.results()
    outputs = Outputs(run.output_dir)
    records = outputs.records
    done = distinct(record for result in results.values() if (record := records.read(result["key"])))
    counts = Counter(result["status"] for result in results.values())
    reused = sum(result["reused"] for result in results.values() if result["status"] == "finished")
    if any(record.status == "finished" for record in done):
        plan = compare_sweep(sweep.folder, done, outputs.store)
        csv = outputs.reports / f"{sweep.id}.csv"
        show(done, csv=csv, baseline=run.baseline, runs=records.root, plan=plan)
        report_artifacts(sweep, run, sorted(csv.parent.glob(f"{sweep.id}.*")))
    missing = sweep.about["cells"] - len(results) + counts["stopped"]
    console.say(
        f"{len(results) - counts['stopped']} of {sweep.about['cells']} cells in {duration_text(seconds)}: "
        f"{counts['finished']} finished (of which {reused} shared or already done), {counts['skipped']} skipped, "
        f"{counts['failed']} failed" + (f", {missing} not started." if missing else ".")
    )
    if counts["failed"]:
        console.say("Failed runs are kept as they are; the same command with retry=failed runs them again.")
    console.say(f"records: {records.root}   sweep: {sweep.folder}")
    if run.tracking.enabled:
        from selbench.tracking.mirror import tracking_uri

        console.say(f"MLflow:  mlflow ui --backend-store-uri {tracking_uri(run)}")
    return 1 if counts["failed"] or missing else 0
