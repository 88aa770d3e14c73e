"""Reading a file that lists examples: by ids, row numbers or texts, or with a score for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import UserError
from selbench.data.files import EXTENSIONS, read_rows


@dataclass(frozen=True)
class Listing:
    """What a file lists, in its order."""

    rows: Sequence[Any]  # a text or number each, or a mapping of columns
    places: Sequence[str]  # of each row, for messages: "line 3"
    columns: tuple[str, ...] = ()  # in the order in which they occur; none for a plain list
    array: np.ndarray | None = None  # of a .npy file


def read_listing(named: str, option: str) -> Listing:
    """What a file lists: a .txt file one text a line, a .npy file an array of one dimension, any other as files of pools.

    A mapping with a list `ids` (the selection.json of a record) is a row for each, with its score where there are `scores`.
    Raises UserError, which begins with `option`, if the file cannot be read or lists nothing.
    """
    path = Path(named).expanduser()
    try:
        path.open("rb").close()
        found = _array(path) if path.suffix.lower() == ".npy" else _rows(path)
    except OSError as error:
        raise UserError(f"{option}={named} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{option}={named} is not UTF-8 text.") from error
    except ValueError as error:
        raise UserError(f"{option}={named} cannot be read: {str(error).rstrip('.')}.") from error
    except UserError as error:
        raise UserError(f"{option}: {error}") from error
    if not found.rows:
        raise UserError(f"{option}={named} is empty.")
    return found


def ids_of_file(named: str) -> list[str]:
    """The distinct ids in a file, in its order: one a line (.txt), a list or a mapping with `ids` (.json, as the
    selection.json of a record), or rows with a column `id`.

    Raises UserError if the file cannot be read, holds no ids, or names one twice.
    """
    try:
        listing = read_listing(named, "selector.ids")
        found = [id_of(row["id"] if listing.columns else row) for row in listing.rows]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"selector.ids={named} holds no ids: expected one id a line (.txt), a JSON list or a mapping with `ids` (.json), or "
            f"rows with a column `id` (.jsonl); {type(error).__name__}: {error}."
        ) from error
    require_once(found, f"selector.ids={named}", "id")
    return found


def id_of(value: Any) -> str:
    """A text or whole number as an id. Raises TypeError for anything else."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no id")
    return str(value)


def require_once(values: Sequence[Any], who: str, what: str) -> None:
    """Raises UserError if a value occurs twice; `who` begins the message, `what` says what a value is."""
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise UserError(f"{who} names the {what} '{value}' more than once.")
        seen.add(value)


def _array(path: Path) -> Listing:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        shape = getattr(array, "shape", "several arrays")
        raise ValueError(f"expected an array of one dimension, but it holds {shape}")
    rows = array.tolist()
    return Listing(rows, [f"row {number}" for number in range(1, len(rows) + 1)], array=array)


def _rows(path: Path) -> Listing:
    if path.suffix.lower() == ".txt":
        lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
        placed = [(f"line {number}", line.strip()) for number, line in lines if line.strip()]
    else:
        _require_readable(path)
        placed = list(read_rows(path))
    if len(placed) == 1 and isinstance(placed[0][1], dict) and isinstance(placed[0][1].get("ids"), list):
        placed = _of_selection(placed[0][1])
    mappings = [isinstance(row, dict) for _, row in placed]
    if any(mappings) and not all(mappings):
        place = placed[mappings.index(False)][0]
        raise ValueError(f"{place} is no mapping of columns, as other rows are")
    columns = dict.fromkeys(name for _, row in placed if isinstance(row, dict) for name in row)
    return Listing([row for _, row in placed], [place for place, _ in placed], tuple(columns))


def _require_readable(path: Path) -> None:
    if not path.name.lower().endswith(EXTENSIONS):
        raise UserError(
            f"{path} has an extension that is not read. Valid: {', '.join(sorted((*EXTENSIONS, '.npy', '.txt')))}."
        )


def _of_selection(content: dict[str, Any]) -> list[tuple[str, Any]]:
    """The rows of a mapping with `ids`, and with as many `scores` where it has any."""
    ids, scores = content["ids"], content.get("scores")
    places = [f"row {number}" for number in range(1, len(ids) + 1)]
    if not isinstance(scores, list):
        return list(zip(places, ids))
    if len(scores) != len(ids):
        raise ValueError(f"it has {len(ids)} ids and {len(scores)} scores")
    return [(place, {"id": id, "score": score}) for place, id, score in zip(places, ids, scores)]
