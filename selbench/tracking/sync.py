"""Sending records and reports that a server lacks, from the output folder, because it was away or tracking was off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from selbench.errors import UserError, unknown
from selbench.store.outputs import Outputs
from selbench.store.records import Record
from selbench.tracking.mirror import is_sent, send_record
from selbench.tracking.reports import report_is_sent, send_report
from selbench.tracking.server import Server, default_uri, error_text, uri_without_password

Say = Callable[[str], None]


@dataclass
class Synced:
    """The result of synchronising one server."""

    server: str  # its URI, without a password
    sent: int = 0  # records that were sent
    there: int = 0  # records that the server had already
    reports: int = 0  # reports of sweeps that were sent


def sync(
    outputs: Path, uri: str | None = None, comparison: str | None = None, say: Say = lambda text: None
) -> list[Synced]:
    """Send every record and report that the server lacks by its marks; repeating it sends nothing twice.

    Without `uri`, each record is sent to the server that its run was configured with, and runs with tracking=none are
    left out. `comparison` limits the records; `say` gets a line per record sent. Raises UserError if there is no record
    to send, or if a server does not answer; the server keeps what was sent until then.
    """
    kept = Outputs(outputs).records
    records = kept.all()
    if not records:
        raise UserError(f"no record under {kept.root}: name another folder with --outputs.")
    names = {record.comparison for record in records}
    if comparison is not None and comparison not in names:
        raise UserError(unknown("comparison", comparison, names))
    wanted = [record for record in records if comparison in (None, record.comparison)]
    members = _sweeps_by_run(outputs)
    by_server: dict[str, list[Record]] = {}
    for record in wanted:
        target = uri or _configured_uri(record, outputs)
        if target:
            by_server.setdefault(target, []).append(record)
    if not by_server:
        raise UserError("every run had tracking=none: say where to send them with --tracking-uri.")
    return [_sync_server(target, outputs, group, members, say) for target, group in by_server.items()]


def _configured_uri(record: Record, outputs: Path) -> str | None:
    tracking = record.config.get("tracking") or {}
    if not tracking.get("enabled", True):
        return None
    return tracking.get("uri") or default_uri(outputs)


def _sweeps_by_run(outputs: Path) -> dict[str, list[str]]:
    """Key of a run -> the sweeps that have it as a cell."""
    found: dict[str, list[str]] = {}
    sweeps = Outputs(outputs).sweeps
    for name in sweeps.names():
        for key in {result["key"] for result in sweeps.open(name).results().values()}:
            found.setdefault(key, []).append(name)
    return found


def _sync_server(uri: str, outputs: Path, records: list[Record], members: dict[str, list[str]], say: Say) -> Synced:
    done = Synced(uri_without_password(uri))
    try:
        server = Server(uri, outputs.resolve())
        server.check()
        for record, sweep in _record_places(records, members):
            folder = Outputs(outputs).records.folder(record.key)
            if is_sent(record, folder, server, sweep):
                done.there += 1
                continue
            send_record(record, folder, server, sweep, reused=record.sweep != sweep)
            done.sent += 1
            say(f"{record.name}{f' ({sweep})' if sweep else ''}: sent to {server.name}")
        for sweep, comparison in {
            (sweep, record.comparison) for record, sweep in _record_places(records, members) if sweep
        }:
            about = Outputs(outputs).sweeps.open(sweep)
            if not report_is_sent(about, server):
                send_report(about, server, comparison)
                done.reports += 1
                say(f"report of sweep {sweep}: sent to {server.name}")
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow at {done.server} does not take what it should: {error_text(error)}. {done.sent} runs were sent; "
            f"the same command sends the rest."
        ) from error
    return done


def _record_places(records: list[Record], members: dict[str, list[str]]) -> Iterator[tuple[Record, str | None]]:
    """Every record with each sweep that has it; if no sweep folder has it, with the sweep that the record names.

    A sweep that was interrupted while it sent the record has not noted it among its cells that ended, and has it too.
    """
    for record in records:
        sweeps: list[str | None] = [*members.get(record.key, [])]
        for sweep in dict.fromkeys([*sweeps, record.sweep] if record.sweep or not sweeps else sweeps):
            yield record, sweep
