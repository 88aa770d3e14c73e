"""Sending records to MLflow. The record on disk is the original: without a server a run still finishes."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench.settings import Run
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, RECORD, SELECTION, TRACEBACK, Record
from selbench.tracking.content import LONG, milliseconds, mlflow_metrics, mlflow_params, mlflow_tags
from selbench.tracking.datasets import dataset_inputs
from selbench.tracking.marks import Marks
from selbench.tracking.server import Server, default_uri, error_text, uri_without_password
from selbench.tracking.table import write_tables

log = logging.getLogger("selbench.tracking")

KEPT = (RECORD, SELECTION, ITEMS, TRACEBACK)  # files of a record's folder that are sent as artifacts


def tracking_uri(run: Run) -> str:
    """The configured URI, or an SQLite file under the output folder."""
    return run.tracking.uri or default_uri(run.output_dir)


def mirror_record(record: Record, folder: Path, run: Run, reused: bool) -> None:
    """Send a record as an MLflow run below the parent run of its sweep, unless tracking is off.

    `reused` says that the record comes from an earlier run of the same key. If the server does not answer, there is
    only a warning.
    """
    if not run.tracking.enabled:
        return
    uri = tracking_uri(run)
    try:
        server = _server(uri, run.output_dir.resolve())
        if not (reused and is_sent(record, folder, server, run.sweep)):
            send_record(record, folder, server, run.sweep, reused)
    except Exception as error:  # whatever a tracking server does, the run has been recorded
        log.warning(
            f"MLflow at {uri_without_password(uri)} did not take {record.name}: {error_text(error)}. "
            f"The record is complete without it; `selbench sync` sends it later."
        )


@lru_cache(maxsize=4)
def _server(uri: str, outputs: Path) -> Server:
    return Server(uri, outputs)


def is_sent(record: Record, folder: Path, server: Server, sweep: str | None) -> bool:
    """Whether the marks say that this record, and not one of an earlier try, is on the server under this sweep."""
    mark = Marks(folder).get(server.name, sweep or "")
    return bool(mark) and mark.get("created") == record.created


def send_record(record: Record, folder: Path, server: Server, sweep: str | None, reused: bool = False) -> str:
    """Send a record with the files of its folder; gives the id of its MLflow run.

    Sending it again, also after a failed attempt, updates the same MLflow run. Raises whatever MLflow raises.
    """
    client = server.client
    with tempfile.TemporaryDirectory() as scratch, server.writing():
        tables = write_tables(record, folder, Path(scratch))
        above = sweep_run(server, sweep, record.comparison) if sweep else None
        id = _record_run(record, server, sweep, above, reused)
        _log_options_and_numbers(client, id, record)
        client.log_inputs(id, dataset_inputs(record))
        for path in [*(folder / name for name in KEPT), *tables]:
            if path.is_file():
                client.log_artifact(id, str(path))
        if tables:
            shown_as = json.dumps([{"path": path.name, "type": "table"} for path in tables])
            client.set_tag(id, "mlflow.loggedArtifacts", shown_as)
        ended = int((folder / RECORD).stat().st_mtime * 1000)
        client.set_terminated(id, "FAILED" if record.status == "failed" else "FINISHED", ended)
        if above:
            client.set_terminated(above, end_time=ended)
    Marks(folder).set(server.name, sweep or "", {"run": id, "created": record.created})
    return id


def _record_run(record: Record, server: Server, sweep: str | None, above: str | None, reused: bool) -> str:
    """The id of the MLflow run of a record in a sweep, found or created, with its tags set.

    `above` is the id of the sweep's parent run; None for a run on its own.
    """
    experiment = server.experiment(record.comparison)
    about = {**mlflow_tags(record), "selbench.reused": str(reused).lower()}
    if sweep and above:
        about |= {"mlflow.parentRunId": above, "selbench.sweep": sweep}
    tags = {"key": record.key, "sweep": sweep}
    with server.turn():  # `selbench sync` may be sending it too
        found = _only_run(server, experiment, tags)
        if not found:
            server.client.create_run(experiment, milliseconds(record.created) or None, about, record.name)
            made = str(_only_run(server, experiment, tags).info.run_id)
            # Until all is sent: a process that is killed now, and whose sweep nobody starts again, leaves no run RUNNING.
            server.client.set_terminated(made, "KILLED")
            return made
    from mlflow.entities import RunTag

    id = str(found.info.run_id)
    server.client.log_batch(id, tags=[RunTag(key, value) for key, value in about.items()])
    return id


def sweep_run(server: Server, sweep: str, comparison: str) -> str:
    """The id of the parent run of a sweep, found by its tag or created."""
    experiment = server.experiment(comparison)
    with server.turn():
        found = _only_run(server, experiment, {"parent_of": sweep})
        if found:
            return str(found.info.run_id)
        about = _sweep_about(server.outputs, sweep)
        told = {
            "selbench.parent_of": sweep,
            "selbench.command": str(about.get("command", ""))[:LONG],
            "mlflow.note.content": f"```\n{str(about.get('command', ''))[:LONG]}\n```",
        }
        started = milliseconds(str(about.get("started", ""))) or None
        server.client.create_run(experiment, started, told, f"sweep {sweep}")
        made = str(_only_run(server, experiment, {"parent_of": sweep}).info.run_id)
        server.client.set_terminated(made)
    return made


def _only_run(server: Server, experiment: str, tags: Mapping[str, str | None]) -> Any:
    """The MLflow run with these tags, the newest if there are several; None if there is none.

    There are several where a server was restarted before it could answer: MLflow's client asks it again, and it makes
    a second run. Nothing has been sent to the others, or only what is sent anew: they are deleted.
    """
    found = server.find([experiment], tags)
    for other in found[1:]:
        server.client.delete_run(other.info.run_id)
    return found[0] if found else None


def _sweep_about(outputs: Path, sweep: str) -> dict[str, Any]:
    try:
        return Outputs(outputs).sweeps.open(sweep).about
    except OSError:
        return {}  # the sweep's folder was removed; the records still name their sweep


def _log_options_and_numbers(client: Any, id: str, record: Record) -> None:
    from mlflow.entities import Metric, Param

    options = [Param(key, value) for key, value in mlflow_params(record).items()]
    for part in _batches(options, 100):  # the limits of one request
        client.log_batch(id, params=part)
    when = milliseconds(record.created)
    numbers = [Metric(key, value, when, 0) for key, value in mlflow_metrics(record).items()]
    for part in _batches(numbers, 1000):
        client.log_batch(id, metrics=part)


def _batches(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
