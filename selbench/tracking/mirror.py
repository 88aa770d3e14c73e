"""Mirrors records to MLflow; nothing else imports it. The record is the truth: without a server a run still finishes."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selbench import console
from selbench.config import Run
from selbench.steps.evaluate import ITEMS
from selbench.store.records import RECORD, Record, Sweep
from selbench.store.stages import write_json

MIRRORED = "mlflow.json"


def tracking_uri(run: Run) -> str:
    """The configured URI, or an SQLite file under the output folder."""
    return run.tracking.uri or f"sqlite:///{(run.output_dir / 'mlflow.db').resolve()}"


def mirror(record: Record, folder: Path, run: Run, reused: bool) -> None:
    """One MLflow run for the record, under the parent run of its sweep. A server that is away costs a warning only."""
    if not run.tracking.enabled or (reused and _mirrored(folder, run)):
        return
    try:
        _mirror(record, folder, run, reused)
    except Exception as error:  # whatever a tracking server does, the run has been recorded
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        console.warn(
            f"MLflow at {tracking_uri(run)} did not take {record.name}: {reason}. The record is complete without it."
        )


def _mirrored(folder: Path, run: Run) -> bool:
    return (run.sweep or "") in _read_marks(folder)


def _read_marks(folder: Path) -> dict[str, str]:
    try:
        marks: dict[str, str] = json.loads((folder / MIRRORED).read_text())
    except (OSError, ValueError):
        return {}
    return marks


def _mirror(record: Record, folder: Path, run: Run, reused: bool) -> None:
    # MLflow's own defaults keep a run waiting for minutes, seven times over, for a server that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):  # after the import, which sets their levels
        logging.getLogger(chatty).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri(run))
    experiment = _experiment(client, run)
    tags = {**_tags(record), "selbench.reused": str(reused).lower()}
    if run.sweep:
        tags |= {"mlflow.parentRunId": _parent(client, experiment, run), "selbench.sweep": run.sweep}
    id = client.create_run(experiment, run_name=record.name, tags=tags).info.run_id
    params = [Param(key, str(value)[:6000]) for key, value in _flat(record.config)]
    for start in range(0, len(params), 100):  # the limit of one request
        client.log_batch(id, params=params[start : start + 100])
    metrics = [Metric(_safe(key), value, 0, 0) for key, value in _metrics(record).items()]
    for start in range(0, len(metrics), 1000):
        client.log_batch(id, metrics=metrics[start : start + 1000])
    for name in (RECORD, "selection.json", ITEMS, "traceback.txt"):
        if (folder / name).is_file():
            client.log_artifact(id, str(folder / name))
    client.set_terminated(id, "FAILED" if record.status == "failed" else "FINISHED")
    write_json(folder / MIRRORED, {**_read_marks(folder), run.sweep or "": id})


def _experiment(client: Any, run: Run) -> str:
    """One experiment per comparison; artifacts beside the default database."""
    found = client.get_experiment_by_name(run.comparison)
    if found:
        return str(found.experiment_id)
    local = None if run.tracking.uri else (run.output_dir / "mlartifacts").resolve().as_uri()
    try:
        return str(client.create_experiment(run.comparison, artifact_location=local))
    except Exception:
        found = client.get_experiment_by_name(run.comparison)  # another process was faster
        if not found:
            raise
        return str(found.experiment_id)


def _parent(client: Any, experiment: str, run: Run) -> str:
    """The parent run of the sweep, found by its tag or made."""
    found = client.search_runs([experiment], f"tags.`selbench.parent_of` = '{run.sweep}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    sweep = Sweep(run.output_dir / "sweeps", run.sweep or "")
    tags = {"selbench.parent_of": run.sweep, "selbench.command": sweep.about["command"][:5000]}
    parent = client.create_run(experiment, run_name=f"sweep {run.sweep}", tags=tags).info.run_id
    client.set_terminated(parent)
    return str(parent)


def _tags(record: Record) -> dict[str, str]:
    tags = {f"selbench.{name}": str(value) for name, value in record.axes.items() if value is not None}
    return {
        **tags,
        "selbench.key": record.key,
        "selbench.status": record.status,
        "selbench.reason": record.reason[:5000],
    }


def _metrics(record: Record) -> dict[str, float]:
    metrics = {f"{row['suite']}/{row['task']}/{row['metric']}": row["value"] for row in record.scores}
    metrics |= {f"{suite}/mean": value for suite, value in record.headline.items()}
    metrics |= {f"selection/{k}": float(v) for k, v in record.selection.items() if isinstance(v, int | float)}
    metrics |= {f"cost/{stage}/{name}": value for stage, cost in record.cost.items() for name, value in cost.items()}
    return {**metrics, **record.logged}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _safe(key: str) -> str:
    """MLflow takes letters, digits and _-. :/ in a metric's name."""
    return re.sub(r"[^\w\-. :/]", "_", key)
