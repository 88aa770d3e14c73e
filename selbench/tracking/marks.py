"""Marks of what has been sent to which server: a small file beside a record or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selbench.store.files import read_json, write_json, writing

MARKS = "mlflow.json"


class Marks:
    """The marks of one folder: server -> name -> what was sent.

    If they are lost, what they name is looked up on the server and sent again into the same MLflow run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MARKS

    def get(self, server: str, name: str) -> Any:
        """The mark of this name for a server; None if there is none."""
        entry = self._read().get(server)
        return entry.get(name) if isinstance(entry, dict) else None

    def set(self, server: str, name: str, value: Any) -> None:
        """Set a mark. Raises UserError if its file cannot be written."""
        marks = self._read()
        entry = marks.get(server)
        with writing(self.path.parent):
            write_json(self.path, {**marks, server: {**(entry if isinstance(entry, dict) else {}), name: value}})

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] | None = read_json(self.path)
        return found or {}
