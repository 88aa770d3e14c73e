"""Reads the rows of local files, each with its place ("line 3" or "row 3"), which error messages name."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from selbench.errors import UserError

Row = tuple[str, Any]  # place, and the row as JSON holds it: a mapping of columns in a sound file


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON, JSON Lines or CSV file (each also .gz) or of a Parquet file, read lazily.

    Raises UserError for another extension, a damaged file, text that is not UTF-8, or JSON that cannot be decoded.
    """
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in READERS or (kind == ".parquet" and path.name.lower().endswith(".gz")):
        raise UserError(f"{path} has an extension that is not read. Valid: {', '.join(EXTENSIONS)}.")
    try:
        yield from READERS[kind](path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read (damaged or incomplete?): {error}") from error


def parquet_rows(tables: Iterable[Any]) -> Iterator[Row]:
    """The rows of Arrow tables or record batches, numbered from 1 across all of them."""
    number = 0
    for table in tables:
        for row in table.to_pylist():
            number += 1
            yield f"row {number}", row


def _open_text(path: Path, newline: str | None = None) -> TextIO:
    # utf-8-sig drops the byte order mark that Excel writes, which would become part of the first column's name.
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)
    return open(path, encoding="utf-8-sig", newline=newline)


def _json_lines_rows(path: Path) -> Iterator[Row]:
    with _open_text(path) as stream:
        for number, line in enumerate(stream, 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line.rstrip("\n"))
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not valid JSON: {error.msg} (column {error.colno}).") from error
            yield f"line {number}", row


def _json_rows(path: Path) -> Iterator[Row]:
    with _open_text(path) as stream:
        text = stream.read()
    try:
        content = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON Lines in a file named .json, which is common on the hub
            yield from _json_lines_rows(path)
            return
        raise UserError(f"{path}:{error.lineno}: not valid JSON: {error.msg} (column {error.colno}).") from error
    rows = content.get("data", content) if isinstance(content, dict) else content
    if isinstance(rows, dict):  # JSON Lines with a single line
        rows = [rows]
    if not isinstance(rows, list):
        raise UserError(f'{path} holds neither a list of rows nor {{"data": [rows]}}.')
    for number, row in enumerate(rows, 1):
        yield f"row {number}", row


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is shorter than some responses
    with _open_text(path, newline="") as stream:
        reader = csv.DictReader(stream)
        line = reader.line_num
        try:
            if not reader.fieldnames:
                return
            # The reader counts the lines it has read; a row with line breaks in a cell begins after the previous row.
            line = reader.line_num
            for row in reader:
                # A row with more cells than the header has: nobody knows which column the extra cells belong to. As a
                # list and not a mapping it is reported as a malformed row.
                yield f"line {line + 1}", [*row.values()] if None in row else row
                line = reader.line_num
        except csv.Error as error:
            raise UserError(f"{path}:{line + 1}: not valid CSV: {error}.") from error


def _parquet_file_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield from parquet_rows(file.iter_batches(batch_size=4096))
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is not a Parquet file: {error}") from error


READERS = {".json": _json_rows, ".jsonl": _json_lines_rows, ".csv": _csv_rows, ".parquet": _parquet_file_rows}
EXTENSIONS = (".json", ".jsonl", ".csv", ".parquet", ".json.gz", ".jsonl.gz", ".csv.gz")
