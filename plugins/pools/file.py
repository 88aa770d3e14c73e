"""The pool `file`: local files of the user's."""

from __future__ import annotations

from selbench.api import pool
from selbench.data.pools import FilePool, hub_label, path_label


@pool("file")
class File(FilePool):
    """Your own file: pool=file pool.path=/path/to/file.jsonl (or .json, .csv, .parquet), or several: [a.jsonl,b.csv].

    Options:
        name: the name of the pool in reports; empty for that of the file without its ending.
    """

    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or path_label(self.path) or hub_label(self.hub) or "file"
