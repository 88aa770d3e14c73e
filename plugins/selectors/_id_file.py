"""Reading the ids of examples from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selbench.api import UserError


def ids_of_file(named: str) -> list[str]:
    """The distinct ids in a file, in its order: one a line (.txt), a JSON list or a mapping with `ids` (.json, as the
    selection.json of a record), or rows with a column `id` (.jsonl).

    Raises UserError if the file cannot be read, holds no ids, or names one twice.
    """
    path = Path(named).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        found = _ids(text, path.suffix.lower())
    except OSError as error:
        raise UserError(f"selector.ids={named} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"selector.ids={named} holds no ids: expected one id a line (.txt), a JSON list or a mapping with `ids` (.json), or "
            f"rows with a column `id` (.jsonl); {type(error).__name__}: {error}."
        ) from error
    if not found:
        raise UserError(f"selector.ids={named} is empty.")
    if len(set(found)) < len(found):
        twice = next(id for place, id in enumerate(found) if id in found[:place])
        raise UserError(f"selector.ids={named} names the id '{twice}' more than once.")
    return found


def _ids(text: str, ending: str) -> list[str]:
    if ending == ".json":
        content = json.loads(text)
        return [_id(value) for value in (content["ids"] if isinstance(content, dict) else content)]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [_id(json.loads(line)["id"]) for line in lines] if ending == ".jsonl" else lines


def _id(value: Any) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no id")
    return str(value)
