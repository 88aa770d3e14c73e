"""The pool `file`: local files of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selbench.api import pool
from selbench.data.pools import FilePool, hub_label, path_label


@pool("file")
class File(FilePool):
    """Your own file: pool=file pool.path=/path/to/file.jsonl (or .json, .csv, .parquet), or several: [a.jsonl,b.csv].

    Options:
        name: the name of the pool in reports; empty for that of the file without its ending.
    """

    name: str = ""

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: a file with a few examples."""
        path = folder / "examples.jsonl"
        rows = [{"instruction": f"count to {i}", "output": " ".join(map(str, range(i)))} for i in range(1, 9)]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return {"path": str(path)}

    def __post_init__(self) -> None:
        self.name = self.name or path_label(self.path) or hub_label(self.hub) or "file"
