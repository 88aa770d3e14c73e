"""Writing selected examples for other tools: Alpaca, ShareGPT or chat-messages rows as JSON Lines, JSON, CSV, Parquet, or ids."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from selbench.api import Example, Pool
from selbench.data import forms
from selbench.errors import UserError, unknown
from selbench.files import written_aside


def export(
    pool: Pool, ids: Iterable[str], path: str | Path, form: str, others: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """Write the examples with these ids, in this order, and return the path.

    Forms: "alpaca" (as LLaMA-Factory reads it), "sharegpt" (turns of `from` and `value`), "messages" (as TRL reads it), "ids"
    (one id a line). All but the last are written as the ending of the path says (ENDINGS; JSON Lines without an ending), and
    can be read back with `pool=file pool.path=...`. A file named .gz is compressed. The file appears complete or not at all.

    Args:
        others: id -> further columns to write, which give way to columns of the form.

    Raises UserError for an unknown form, ending or id, or if the file cannot be written.
    """
    if form not in FORMS:
        raise UserError(unknown("export form", form, FORMS))
    examples = [_example_with_id(pool, id) for id in ids]
    path = Path(path).expanduser()
    if form == "ids":
        data = "".join(f"{example.id}\n" for example in examples).encode()
    else:
        write = _writer(path)
        rows = [
            {**FORMS[form](example), **_metadata_columns((others or {}).get(example.id, {}))} for example in examples
        ]
        data = write(rows)
    # mtime=0: equal selections give files with equal bytes.
    _write(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def names_ids(path: Path) -> bool:
    """Whether a file of this name holds bare ids: core.ids.txt."""
    return path.name.endswith(".txt")


def require_ending(path: Path) -> None:
    """Raises UserError for a path whose ending says no format that is written."""
    if not names_ids(path):
        _writer(path)


def _writer(path: Path) -> Callable[[list[dict[str, Any]]], bytes]:
    """What turns rows into the bytes of a file of this name. Raises UserError for an ending that is not written."""
    ending = Path(path.name.lower().removesuffix(".gz")).suffix or ".jsonl"
    if ending not in WRITERS or (ending == ".parquet" and path.name.lower().endswith(".gz")):
        raise UserError(f"{path} has an ending that is not written. Valid: {', '.join(ENDINGS)}.")
    return WRITERS[ending]


def _json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{_json_text(row)}\n" for row in rows).encode()


def _json_list(rows: list[dict[str, Any]]) -> bytes:
    return ("[\n" + ",\n".join(map(_json_text, rows)) + "\n]\n").encode()


def _csv_table(rows: list[dict[str, Any]]) -> bytes:
    """One column for each name in any row; lists and tables as JSON, because a cell is text."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: _json_text(value) if isinstance(value, list | dict | tuple) else value
                for name, value in row.items()
            }
        )
    return stream.getvalue().encode()


def _parquet_table(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow.parquet import write_table

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError):  # of several types
            columns[name] = pyarrow.array([None if value is None else _json_text(value) for value in values])
    stream = io.BytesIO()
    write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _metadata_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns whose names no reader of pools takes for a part of the example."""
    return {name: value for name, value in columns.items() if name not in TAKEN}


def _example_with_id(pool: Pool, id: str) -> Example:
    try:
        return pool[pool.position(id)]
    except KeyError:
        raise UserError(f"pool '{pool.name}' has no example with the id '{id}'.") from None


def _alpaca_row(example: Example) -> dict[str, Any]:
    row: dict[str, Any] = {"id": example.id, "instruction": example.instruction, "input": example.input}
    row["output"] = example.response
    if example.system:
        row["system"] = example.system
    if example.history:
        row["history"] = example.history
    return _with_origin(row, example)


def _sharegpt_row(example: Example) -> dict[str, Any]:
    row = _messages_row(example)
    turns = [{"from": SHAREGPT[turn["role"]], "value": turn["content"]} for turn in row.pop("messages")]
    return {"id": row.pop("id"), "conversations": turns, **row}


def _messages_row(example: Example) -> dict[str, Any]:
    turns = [("system", example.system)] if example.system else []
    for user, assistant in example.history:
        turns += [("user", user), ("assistant", assistant)]
    turns += [("user", example.question), ("assistant", example.response)]
    row: dict[str, Any] = {"id": example.id, "messages": [{"role": role, "content": text} for role, text in turns]}
    if example.input:  # also in the last user turn; the field lets a reader tell it from the instruction
        row["input"] = example.input
    return _with_origin(row, example)


def _with_origin(row: dict[str, Any], example: Example) -> dict[str, Any]:
    about = {"source": example.source, "category": example.category}
    return {**row, **{word: text for word, text in about.items() if text}}


SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
FORMS: dict[str, Callable[[Example], dict[str, Any]]] = {
    "alpaca": _alpaca_row,
    "sharegpt": _sharegpt_row,
    "messages": _messages_row,
    "ids": lambda example: {"id": example.id},
}
WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".jsonl": _json_lines,
    ".json": _json_list,
    ".csv": _csv_table,
    ".parquet": _parquet_table,
}
ENDINGS = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".ids.txt")
# Columns that a reader of pools would take for a part of an example, whose values are written from the example itself.
TAKEN = frozenset(
    {column for patterns in forms.FORMS.values() for pattern in patterns for column in pattern.values()}
    | {column for columns in forms.OPTIONAL.values() for column in columns}
)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
