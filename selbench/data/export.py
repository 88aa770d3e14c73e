"""Writing selected examples for other tools: Alpaca JSON Lines, chat-messages JSON Lines, or bare ids."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from selbench.api import Example, Pool
from selbench.errors import UserError, unknown
from selbench.files import written_aside


def export(pool: Pool, ids: Iterable[str], path: str | Path, form: str) -> Path:
    """Write the examples with these ids, in this order, and return the path.

    Forms: "alpaca" (as LLaMA-Factory reads it), "messages" (as TRL reads it), "ids" (one id a line). The first two can
    be read back with `pool=file pool.path=...`. A file named .gz is compressed. The file appears complete or not at all.
    Raises UserError for an unknown form or id, or if the file cannot be written.
    """
    if form not in FORMS:
        raise UserError(unknown("export form", form, FORMS))
    examples = [_example_with_id(pool, id) for id in ids]
    path = Path(path).expanduser()
    text = "".join(f"{FORMS[form](example)}\n" for example in examples)
    # mtime=0: equal selections give files with equal bytes.
    _write(path, gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
    return path


def _example_with_id(pool: Pool, id: str) -> Example:
    try:
        return pool[pool.position(id)]
    except KeyError:
        raise UserError(f"pool '{pool.name}' has no example with the id '{id}'.") from None


def _alpaca_line(example: Example) -> str:
    row: dict[str, Any] = {"id": example.id, "instruction": example.instruction, "input": example.input}
    row["output"] = example.response
    if example.system:
        row["system"] = example.system
    if example.history:
        row["history"] = example.history
    return _json_line(row, example)


def _messages_line(example: Example) -> str:
    turns = [("system", example.system)] if example.system else []
    for user, assistant in example.history:
        turns += [("user", user), ("assistant", assistant)]
    turns += [("user", example.question), ("assistant", example.response)]
    row: dict[str, Any] = {"id": example.id, "messages": [{"role": role, "content": text} for role, text in turns]}
    if example.input:  # also in the last user turn; the field lets a reader tell it from the instruction
        row["input"] = example.input
    return _json_line(row, example)


def _json_line(row: dict[str, Any], example: Example) -> str:
    about = {"source": example.source, "category": example.category}
    return json.dumps({**row, **{word: text for word, text in about.items() if text}}, ensure_ascii=False)


def _id_line(example: Example) -> str:
    return example.id


FORMS: dict[str, Callable[[Example], str]] = {"alpaca": _alpaca_line, "messages": _messages_line, "ids": _id_line}


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
