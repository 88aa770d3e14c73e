"""`selbench key=value ...` and `selbench -m ...`: one run, or a grid of them, through Hydra.

Every cell is composed and checked before the first one starts: a mistake costs a second, not a night.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
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
from selbench.config import PRIMARY, Run, compose_config, compose_run, explain, register, to_run
from selbench.errors import UserError
from selbench.plugins import Registry, discover
from selbench.presets import CONFIG_MODULE
from selbench.store.records import Record, Records, Sweep, axes_name, distinct


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
    _refuse_grid(overrides, registry)
    run = compose_run(overrides, registry)
    _check([run])
    return 0 if _cell(run) else 1


def _grid(overrides: list[str], arguments: list[str], registry: Registry) -> int:
    cells = expand(overrides, registry)
    runs = [compose_run(cell, registry) for cell in cells]
    _check(runs)
    id = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{hashlib.sha256(repr(arguments).encode()).hexdigest()[:6]}"
    sweep = Sweep(runs[0].output_dir / "sweeps", id)
    sweep.start(shlex.join(["selbench", *arguments]), runs[0].comparison, len(runs))
    console.say(f"sweep {id}: {len(runs)} cells")
    started = time.perf_counter()
    _hydra([*arguments, f"sweep={id}"])
    return _summary(runs[0], sweep, time.perf_counter() - started)


def _check(runs: list[Run]) -> None:
    from selbench.experiment import check  # heavy: only once every cell has been composed

    for run in runs:
        check(run)


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


def _refuse_grid(overrides: list[str], registry: Registry) -> None:
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
    _cell(to_run(config), HydraConfig.get().job.num or 0)


def _cell(run: Run, number: int = 0) -> bool:
    """One run, told about, noted in its sweep and mirrored. False if it failed; it never raises for that."""
    from selbench.experiment import carry_out, run_axes  # heavy: only once every cell has been checked
    from selbench.tracking.mirror import mirror

    records = Records(run.output_dir / "runs")
    sweep = Sweep(run.output_dir / "sweeps", run.sweep) if run.sweep else None
    place = f"[{number + 1}/{sweep.about['cells']}] " if sweep else ""
    title = place + axes_name(run_axes(run))
    started = time.perf_counter()
    try:
        record, reused = carry_out(run, say=lambda what: console.say(f"{title}: {what}"))
    except UserError as error:
        console.fail(f"{place}{error}")
        if sweep:
            sweep.done(number, "", "failed", reused=False)
        return False
    if sweep:
        sweep.done(number, record.key, record.status, reused)
    _tell(record, place, "already done" if reused else f"{time.perf_counter() - started:.1f} s")
    if not sweep:
        console.out.print(str(records.folder(record.key)), soft_wrap=True)
    mirror(record, records.folder(record.key), run, reused)
    return record.status != "failed"


def _tell(record: Record, place: str, how: str) -> None:
    if record.status == "failed":
        console.fail(f"{place}{record.name}: {record.reason}")
    elif record.status == "skipped":
        console.say(f"{place}{record.name}: skipped, {record.reason}")
    else:
        scores = ", ".join(f"{suite} {value:.4g}" for suite, value in record.headline.items())
        console.say(f"{place}{record.name}: {scores} ({how})")


def _summary(run: Run, sweep: Sweep, seconds: float) -> int:
    """The leaderboard of the sweep, and where everything is."""
    from selbench.report.leaderboard import show

    results = sweep.results()
    records = Records(run.output_dir / "runs")
    done = distinct(record for result in results.values() if (record := records.read(result["key"])))
    counts = {
        status: sum(r["status"] == status for r in results.values()) for status in ("finished", "skipped", "failed")
    }
    reused = sum(result["reused"] for result in results.values())
    if any(record.status == "finished" for record in done):
        show(done, csv=run.output_dir / "reports" / f"{sweep.id}.csv", baseline=run.baseline)
    console.say(
        f"{len(results)} of {sweep.about['cells']} cells in {seconds:.0f} s: {counts['finished']} finished "
        f"(of which {reused} shared or already done), {counts['skipped']} skipped, {counts['failed']} failed."
    )
    console.say(f"records: {records.root}   sweep: {sweep.folder}")
    if run.tracking.enabled:
        from selbench.tracking.mirror import tracking_uri

        console.say(f"MLflow:  mlflow ui --backend-store-uri {tracking_uri(run)}")
    return 1 if counts["failed"] or len(results) < sweep.about["cells"] else 0
