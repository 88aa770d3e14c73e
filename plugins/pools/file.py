"""The pool `file`: local files of the user's."""

from __future__ import annotations

from selbench.api import pool
from selbench.data.pools import FilePool


@pool("file")
class File(FilePool):
    """Your own file: pool=file pool.path=/path/to/file.jsonl (or .json, .csv, .parquet), or several: [a.jsonl,b.csv]."""

    name: str = "file"
