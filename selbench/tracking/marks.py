"""What has been sent where: a small file beside a record or a sweep, with an entry per server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selbench.store.files import read_json, write_json, writing

MARKS = "mlflow.json"


class Marks:
    """server -> name -> what was sent. Forgetting them costs a look at the server, and nothing is sent twice."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MARKS

    def get(self, server: str, name: str) -> Any:
        entry = self._read().get(server)
        return entry.get(name) if isinstance(entry, dict) else None

    def set(self, server: str, name: str, value: Any) -> None:
        marks = self._read()
        entry = marks.get(server)
        with writing(self.path.parent):
            write_json(self.path, {**marks, server: {**(entry if isinstance(entry, dict) else {}), name: value}})

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] | None = read_json(self.path)
        return found or {}
