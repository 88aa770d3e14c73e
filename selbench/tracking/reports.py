"""Sending the report of a sweep as artifacts of its MLflow parent run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from selbench.settings import Run
from selbench.store.files import read_json, write_json, writing
from selbench.store.sweeps import Sweep
from selbench.tracking.marks import Marks
from selbench.tracking.mirror import sweep_run, tracking_uri
from selbench.tracking.server import Server, error_text, uri_without_password

log = logging.getLogger("selbench.tracking")

REPORT = "report.json"  # file in a sweep's folder that names the files of its report
ARTIFACTS = "report"  # the report's folder among the artifacts


def report_artifacts(sweep: Sweep, run: Run, files: Sequence[Path]) -> None:
    """Send these files as the report of the sweep's parent run; files of the same name are replaced.

    The files are noted in the sweep's folder even if tracking is off, so that `selbench sync` can send them. If the
    server does not answer, there is only a warning. Raises UserError if the note cannot be written.
    """
    with writing(sweep.folder) as folder:
        write_json(folder / REPORT, {"files": [str(Path(file).resolve()) for file in files]})
    if not run.tracking.enabled:
        return
    uri = tracking_uri(run)
    try:
        send_report(sweep, Server(uri, run.output_dir.resolve()), run.comparison)
    except Exception as error:  # whatever a tracking server does, the report lies in the output folder
        log.warning(
            f"MLflow at {uri_without_password(uri)} did not take the report of sweep {sweep.id}: {error_text(error)}. "
            f"`selbench sync` sends it later."
        )


def report_is_sent(sweep: Sweep, server: Server) -> bool:
    """Whether the server has the report in its present state; true if the sweep has no report."""
    return not _report_files(sweep) or Marks(sweep.folder).get(server.name, ARTIFACTS) == _file_stamps(sweep)


def send_report(sweep: Sweep, server: Server, comparison: str) -> None:
    """Send the noted files of a sweep's report. Raises whatever MLflow raises."""
    stamps = _file_stamps(sweep)
    with server.writing():
        id = sweep_run(server, sweep.id, comparison)
        for file in _report_files(sweep):
            server.client.log_artifact(id, str(file), ARTIFACTS)
        made = max((file.stat().st_mtime for file in _report_files(sweep)), default=0.0)
        server.client.set_terminated(id, end_time=int(1000 * made) or None)  # the sweep ends with its report
    Marks(sweep.folder).set(server.name, ARTIFACTS, stamps)


def _report_files(sweep: Sweep) -> list[Path]:
    names = (read_json(sweep.folder / REPORT) or {"files": []})["files"]
    return [path for name in names if (path := Path(name)).is_file()]


def _file_stamps(sweep: Sweep) -> list[list[object]]:
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in _report_files(sweep)]
