"""Numbers of examples from files: scores, vectors and tags by the id of the example, put in the order of a pool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selbench.data.files import EXTENSIONS, read_rows
from selbench.errors import UserError

NAMED = 3  # ids that a message names


def existing_file(what: str, path: str) -> Path:
    """The file of an option. Raises UserError if none is named or it is not there."""
    if not path:
        raise UserError(f"{what} has no file: name it with {what}=FILE ({', '.join(EXTENSIONS)}).")
    where = Path(path).expanduser()
    if not where.is_file():
        raise UserError(f"{what}={path}: there is no such file.")
    return where


def columns_by_id(what: str, path: str, id_column: str, column: str) -> dict[str, Any]:
    """Id -> value of a column, of the rows of a JSON, JSON Lines, CSV or Parquet file.

    `what` is the option that names the file. Raises UserError for a column that is missing and an id that occurs twice.
    """
    found: dict[str, Any] = {}
    for place, row in read_rows(existing_file(what, path)):
        if not isinstance(row, dict) or id_column not in row or column not in row:
            has = f"its columns are {', '.join(map(str, row))}" if isinstance(row, dict) else "it is no row of columns"
            raise UserError(f"{what}={path}, {place}: columns '{id_column}' and '{column}' are needed, and {has}.")
        id = str(row[id_column])
        if id in found:
            raise UserError(f"{what}={path}, {place}: the id '{id}' stands in an earlier row too.")
        found[id] = row[column]
    if not found:
        raise UserError(f"{what}={path} holds no rows.")
    return found


def scores_by_id(what: str, path: str, id_column: str = "id", column: str = "score") -> dict[str, float]:
    """Id -> score. Raises UserError as `columns_by_id` does, and for a score that is no finite number."""
    found = {}
    for id, value in columns_by_id(what, path, id_column, column).items():
        try:
            found[id] = float(value)
        except (TypeError, ValueError):
            found[id] = np.nan
        if isinstance(value, bool) or not np.isfinite(found[id]):
            raise UserError(f"{what}={path}: the score of '{id}' is {value!r}, which is no finite number.")
    return found


def ids_in_file(what: str, path: Path) -> list[str]:
    """The ids in a file in its order: one a line (.txt), or a list (.json). Raises UserError for any other content."""
    if path.suffix.lower() == ".txt":
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    elif path.suffix.lower() == ".json":
        found = list(_ids_of_rows(what, path))
    else:
        raise UserError(f"{what}={path}: valid are one id a line (.txt) and a list of ids (.json).")
    if len(set(found)) < len(found):
        seen: set[str] = set()
        twice = next(id for id in found if id in seen or seen.add(id))  # type: ignore[func-returns-value]
        raise UserError(f"{what}={path} names the id '{twice}' more than once.")
    return found


def _ids_of_rows(what: str, path: Path) -> Iterator[str]:
    for place, id in read_rows(path):
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise UserError(f"{what}={path}, {place}: {id!r} is no id.")
        yield str(id)


def require_all(what: str, known: Sequence[str] | dict[str, Any], ids: Sequence[str]) -> None:
    """Raises UserError if an id of the pool is not known, naming the first of them; ids of other pools are fine."""
    there = set(known)
    if missing := [id for id in ids if id not in there]:
        named = ", ".join(f"'{id}'" for id in missing[:NAMED])
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        raise UserError(
            f"{what} lacks {len(missing):,} of the pool's {len(ids):,} examples: {named}{more}; its ids look like "
            f"'{next(iter(known))}'."
        )
