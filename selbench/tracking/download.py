"""Records downloaded from a tracking server, for a report on a machine that does not have the output folder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from selbench.errors import UserError, unknown
from selbench.store.files import writing
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, RECORD, SELECTION, Record, Records
from selbench.tracking.server import Server, error_text

log = logging.getLogger("selbench.tracking")

AT_ONCE = 8  # records that are downloaded at the same time
BESIDE = (SELECTION, ITEMS)  # files downloaded with each record


def records_from_server(
    uri: str, comparison: str | None = None, sweep: str | None = None, folder: Path | None = None
) -> tuple[list[Record], Path]:
    """The records of a server, oldest first, and the output folder into which they are downloaded.

    `comparison` and `sweep` (an id, or `latest`) limit the records. In `folder`, or in a new temporary folder for None,
    each record gets record.json, items.parquet and selection.json, as in an output folder; records that are there
    already and unchanged are not downloaded again. If a record has several MLflow runs, the newest counts. Raises
    UserError if the server does not answer, or has no such comparison, sweep or runs.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="selbench-server-"))
    server = _reached_server(uri, folder)
    try:
        runs = _newest_runs(server, comparison, sweep)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"MLflow at {server.name} could not be read: {error_text(error)}.") from error
    records = Outputs(folder).records
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda run: _fetch_record(server, run, records), runs))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"MLflow at {server.name} could not be read to the end: {error_text(error)}.") from error
    missing = sum(record is None for record in found)
    if missing:
        log.warning(f"{missing} of {len(runs)} MLflow runs at {server.name} have no readable record and are left out.")
    whole = [record for record in found if record]
    return sorted(whole, key=lambda record: (record.created, record.key)), folder


def _reached_server(uri: str, folder: Path) -> Server:
    try:
        with writing(folder):
            server = Server(uri, folder)
        server.check()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"there is no MLflow server at {uri} that answers: {error_text(error)}.") from error
    return server


def _newest_runs(server: Server, comparison: str | None, sweep: str | None) -> list[Any]:
    """The newest MLflow run of each record."""
    known = {experiment.name: experiment.experiment_id for experiment in _all_experiments(server)}
    if comparison is not None and comparison not in known:
        raise UserError(unknown("comparison", comparison, known))
    runs = server.find([known[comparison]] if comparison else list(known.values()), {}) if known else []
    if sweep:
        sweep = _sweep_id(runs, sweep)
        runs = [run for run in runs if run.data.tags.get("selbench.sweep") == sweep]
    newest: dict[str, Any] = {}
    for run in runs:  # newest first
        if key := run.data.tags.get("selbench.key"):
            newest.setdefault(key, run)
    if not newest:
        where = f" of comparison '{comparison}'" if comparison else ""
        raise UserError(f"MLflow at {server.name} has no runs of selbench{where}.")
    return list(newest.values())


def _sweep_id(runs: Sequence[Any], wanted: str) -> str:
    """The id of the wanted sweep; `latest` is the sweep whose parent run is the newest."""
    known = [id for run in runs if (id := run.data.tags.get("selbench.parent_of"))]
    if wanted == "latest" and known:
        return str(known[0])
    if wanted not in known:
        raise UserError(unknown("sweep", wanted, set(known)))
    return wanted


def _all_experiments(server: Server) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = server.client.search_experiments(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _fetch_record(server: Server, run: Any, records: Records) -> Record | None:
    key, created = run.data.tags["selbench.key"], run.data.tags.get("selbench.created")
    known = records.read(key)
    if known and created and known.created == created:
        return known
    with writing(records.folder(key)) as folder:
        pass
    # Outside `writing`, which would report a broken connection, an OSError too, as a failure to write. The record is
    # downloaded last, because a folder with a record counts as complete.
    _download_files(server, run.info.run_id, folder, [*BESIDE, RECORD])
    return records.read(key)


def _download_files(server: Server, id: str, folder: Path, names: Sequence[str]) -> None:
    """Download those of the files that the run has: a failed run, for example, has no items."""
    there = {item.path for item in server.client.list_artifacts(id)}
    for name in names:
        if name in there:
            server.client.download_artifacts(id, name, str(folder))
