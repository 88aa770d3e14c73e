"""One MLflow server: reaching it, its experiments, its parent runs, and taking turns where it is a file."""

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
KIND = {"mlflow.experimentKind": "custom_model_development"}  # so that its pages are about runs, not about chats


def default_uri(outputs: Path) -> str:
    """The SQLite file under an output folder."""
    return f"{SQLITE}{Outputs(outputs).mlflow.resolve()}"


def uri_without_password(uri: str) -> str:
    """The URI without a password, as it may be printed and written down."""
    return re.sub(r"//[^/@\s]+@", "//", uri)


def error_text(error: Exception) -> str:
    """What a library says over many lines, in one, without a password."""
    return uri_without_password(str(error).splitlines()[0] if str(error) else type(error).__name__)


class Server:
    """A tracking server for the runs of one output folder. Artifacts of an SQLite file lie beside it."""

    def __init__(self, uri: str, outputs: Path) -> None:
        self.uri, self.outputs = uri, outputs
        self._file = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
        with self.writing():  # the first one lays out the tables, and two at once break them
            self.client = _quiet_client(uri)
        self._experiments: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What marks and messages call it."""
        return uri_without_password(self.uri)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One process at a time looks for what may not be made twice; into an SQLite file also one at a time writes."""
        if self._file:
            folder, name = self._file.parent, f".{self._file.name}"
        else:
            folder, name = self.outputs, f".mlflow-{hashlib.sha256(self.uri.encode()).hexdigest()[:8]}"
        with Locks(folder).hold(name):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around many requests: a turn where the server is a file, nothing where it keeps order itself."""
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
        """The id of the experiment of a comparison, made if need be."""
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
            found = self.client.get_experiment_by_name(comparison)  # another process was faster
            if not found:
                raise
            return str(found.experiment_id)

    def find(self, experiments: Sequence[str], tags: Mapping[str, str | None], limit: int = 0) -> list[Any]:
        """The runs with these tags (selbench.NAME), newest first; None: without that tag. `limit` 0: all."""
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
    return text.replace("'", "")  # a filter has no way to write a quote; keys and sweeps have none


def _quiet_client(uri: str) -> MlflowClient:
    # MLflow's own defaults keep a run waiting for minutes, seven times over, for a server that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for results
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):  # after the import, which sets their levels
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(uri)
