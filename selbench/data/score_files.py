"""Scores of examples that somebody has made elsewhere, read from files: by id, by row number, or in the order of a pool."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.data.files import EXTENSIONS, read_rows
from selbench.errors import UserError

KEYS = ("id", "row")  # the columns that say whose score it is; without either, the rows are in the order of the pool


@dataclass
class Scores:
    """The scores of one or several files, by one column."""

    said: str  # what names the files, for messages: "selector.scores=a.jsonl"
    by_id: dict[str, float] = field(default_factory=dict)
    by_row: dict[int, float] = field(default_factory=dict)  # row number in the pool, from 0 -> score
    listed: list[float] | None = None  # in the order of the pool

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """N scores, one for each example of a pool with these ids. Raises UserError if one has no score."""
        if self.listed is not None:
            if len(self.listed) != len(ids):
                raise UserError(
                    f"{self.said} has {len(self.listed)} scores without ids, and the pool {len(ids)} examples: give each score "
                    "the id of its example (a column `id`), or one score for each example in the pool's order."
                )
            return np.array(self.listed)
        found = [self.by_id.get(id, self.by_row.get(row)) for row, id in enumerate(ids)]
        if missing := [ids[row] for row, score in enumerate(found) if score is None]:
            has = (
                f"its ids look like '{next(iter(self.by_id))}'" if self.by_id else f"its last row is {max(self.by_row)}"
            )
            raise UserError(
                f"{self.said} has no score for {len(missing)} of the {len(ids)} examples of the pool, among them '{missing[0]}'; "
                f"{has}."
            )
        return np.array(found, np.float64)

    def unused(self, ids: Sequence[str]) -> int:
        """How many scores are of no example of a pool with these ids."""
        known = set(ids)
        return sum(id not in known for id in self.by_id) + sum(row >= len(ids) for row in self.by_row)


def read_scores(paths: Sequence[str], option: str, column: str = "") -> Scores:
    """The scores in these files: JSON, JSON Lines or CSV (also .gz), Parquet, or a NumPy array of one dimension (.npy).

    Rows have a column `id` (numbers count as their digits) or `row` (from 0), or neither, and are then in the order of the
    pool. `column` is the column of scores; without it the only other column that holds numbers. Rows for examples of other pools
    may be among them.

    Args:
        paths: the files; what several of them say is put together.
        option: the option that names them, for messages: "selector.scores".
        column: of the scores; empty for the only one.

    Raises:
        UserError: a file that cannot be read; a row without an id or a score; a score that is no finite number; an example
            with two different scores.
    """
    said = f"{option}={paths[0] if len(paths) == 1 else '[' + ','.join(paths) + ']'}"
    scores = Scores(said)
    for named in paths:
        path = Path(named).expanduser()
        if not path.is_file():
            raise UserError(f"{option}={named}: there is no such file.")
        _add_array(scores, path) if path.suffix.lower() == ".npy" else _add_rows(scores, path, column)
    if scores.listed is not None and (len(paths) > 1 or scores.by_id or scores.by_row):
        raise UserError(
            f"{said}: scores without ids are in the order of the pool, so they have to be in one file, and all of them."
        )
    if not (scores.listed or scores.by_id or scores.by_row):
        raise UserError(f"{said} holds no score.")
    return scores


def _add_array(scores: Scores, path: Path) -> None:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not an array of NumPy: {error}.") from error
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "iuf":
        raise UserError(f"{path} is no array of one dimension that holds numbers, one for each example of the pool.")
    scores.listed = [*(scores.listed or []), *(_number(value, f"{path}, entry {i}") for i, value in enumerate(values))]


def _add_rows(scores: Scores, path: Path, column: str) -> None:
    rows = list(read_rows(path))
    for place, row in rows:
        if not isinstance(row, Mapping):
            raise UserError(
                f"{path}, {place}: no row with columns. Valid: rows with `id` or `row` and a score, in {', '.join(EXTENSIONS)}, "
                "or an array in .npy."
            )
    column = column or _only_column(rows, path)
    for place, row in rows:
        if column not in row:
            columns = ", ".join(str(name) for name in row if name not in KEYS) or "none"
            raise UserError(f"{path}, {place}: there is no column '{column}'; the other columns are: {columns}.")
        score = _number(row[column], f"{path}, {place}")
        if "id" in row:
            _add(scores.by_id, _id(row["id"], path, place), score, path, place)
        elif "row" in row:
            _add(scores.by_row, _row_number(row["row"], path, place), score, path, place)
        else:
            scores.listed = scores.listed or []
            scores.listed.append(score)


def _add(scores: dict[Any, float], key: Any, score: float, path: Path, place: str) -> None:
    if scores.setdefault(key, score) != score:
        raise UserError(f"{path}, {place}: '{key}' has the score {score:g} here and {scores[key]:g} before.")


def _only_column(rows: Sequence[tuple[str, Mapping[str, Any]]], path: Path) -> str:
    """The column that holds numbers in the first row. Raises UserError if that is not one."""
    if not rows:
        return ""
    first = {name: value for name, value in rows[0][1].items() if name not in KEYS}
    numbers = [name for name, value in first.items() if _is_number(value)]
    if len(numbers) != 1:
        which = f"{len(numbers)} columns hold numbers ({', '.join(numbers)})" if numbers else "no column holds numbers"
        raise UserError(
            f"{path}: which column holds the scores? Besides id and row {which}; columns: {', '.join(first) or 'none'}. "
            "Name it with the option column."
        )
    return numbers[0]


def _is_number(value: Any) -> bool:
    try:
        _number(value, "")
    except UserError:
        return False
    return True


def _number(value: Any, where: str) -> float:
    """A finite number; text as CSV holds it is read. Raises UserError."""
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        said = "nothing" if value is None or value == "" else repr(value)
        raise UserError(
            f"{where}: {said} is no score: it must be a finite number. Leave such an example out of the pool."
        )
    return number


def _id(value: Any, path: Path, place: str) -> str:
    if isinstance(value, float) and value.is_integer():  # what a table makes of whole numbers beside empty cells
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(f"{path}, {place}: {value!r} is no id.")
    return str(value)


def _row_number(value: Any, path: Path, place: str) -> int:
    try:
        row = -1 if isinstance(value, bool) else int(value)
        whole = float(value) == row
    except (TypeError, ValueError):
        row, whole = -1, False
    if row < 0 or not whole:
        raise UserError(f"{path}, {place}: {value!r} is no row number; the first example of the pool is row 0.")
    return row
