"""A connection to one MLflow server: its experiments and runs, and a lock for writing if it is an SQLite file."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.store.locks import Locks
from selbench.store.outputs import Outputs

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
# Tells MLflow's pages to show an experiment's training runs, not traces of chats.
KIND = {"mlflow.experimentKind": "custom_model_development"}


def default_uri(outputs: Path) -> str:
    """The URI of the SQLite file in an output folder."""
    return f"{SQLITE}{Outputs(outputs).mlflow.resolve()}"


def uri_without_password(uri: str) -> str:
    """The URI without user name and password, which may be printed and stored."""
    return re.sub(r"//[^/@\s]+@", "//", uri)


def error_text(error: Exception) -> str:
    """The first line of an error's message, or the error's class; without passwords."""
    return uri_without_password(str(error).splitlines()[0] if str(error) else type(error).__name__)


class Server:
    """A tracking server for the runs of one output folder.

    If the server is an SQLite file, artifacts are stored in the folder mlartifacts beside it.
    """

    def __init__(self, uri: str, outputs: Path) -> None:
        self.uri, self.outputs = uri, outputs
        self._file = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
        with self.writing():  # the first process creates the tables, which two at the same time would break
            self.client = _quiet_client(uri)
        self._experiments: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The server's name in marks and messages."""
        return uri_without_password(self.uri)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold a lock, under which one process at a time looks something up and creates it if it is missing."""
        if self._file:
            folder, name = self._file.parent, f".{self._file.name}"
        else:
            folder, name = self.outputs, f".mlflow-{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}"
        with Locks(folder).hold(name):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around requests that write: hold the lock if the server is an SQLite file; a real server needs none."""
        if self._file:
            with self.turn():
                yield
        else:
            yield

    def check(self) -> None:
        """Raises whatever MLflow raises if the server does not answer."""
        with self.writing():
            self.client.search_experiments(max_results=1)

    def experiment(self, comparison: str) -> str:
        """The id of the experiment of a comparison, created if it does not exist."""
        if comparison not in self._experiments:
            self._experiments[comparison] = self._experiment(comparison)
        return self._experiments[comparison]

    def _experiment(self, comparison: str) -> str:
        found = self.client.get_experiment_by_name(comparison)
        if found:
            return str(found.experiment_id)
        beside = (self._file.resolve().parent / "mlartifacts").as_uri() if self._file else None
        try:
            return str(self.client.create_experiment(comparison, artifact_location=beside, tags=KIND))
        except Exception:
            found = self.client.get_experiment_by_name(comparison)  # another process may have created it meanwhile
            if not found:
                raise
            return str(found.experiment_id)

    def find(self, experiments: Sequence[str], tags: Mapping[str, str | None], limit: int = 0) -> list[Any]:
        """The runs of the experiments (ids) with these tags, newest first.

        `tags` is NAME -> value of the tag selbench.NAME; None for runs without it. `limit` 0: all runs.
        """
        wanted = [
            f"tags.`selbench.{name}` = '{_filter_value(value)}'" for name, value in tags.items() if value is not None
        ]
        found: list[Any] = []
        token = None
        while True:
            page = self.client.search_runs(list(experiments), " and ".join(wanted), max_results=1000, page_token=token)
            found += [
                run
                for run in page
                if not any(value is None and f"selbench.{name}" in run.data.tags for name, value in tags.items())
            ]
            token = page.token
            if not token or (limit and len(found) >= limit):
                return found[: limit or None]


def _filter_value(text: str) -> str:
    return text.replace("'", "")  # MLflow's filters cannot express a quote; keys and ids of sweeps contain none


def _quiet_client(uri: str) -> MlflowClient:
    # By default MLflow tries a server that does not answer eight times, and waits two minutes each time.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for results
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):  # after the import of mlflow, which sets their levels
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(uri)
