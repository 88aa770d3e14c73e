"""Scores from elsewhere: a CSV or Parquet file whose columns the user maps to selbench's axes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from selbench.errors import UserError, unknown
from selbench.numbers import count_text
from selbench.report.tidy import ARM, COSTS, NO_SEED, SETTING

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("selbench.report")

AXES = ("pool", "selector", "scorer", "budget", "model", "trainer", "suite", "task", "metric", "seed", "score")
NEEDED = ("selector", "score")


def parse_map(text: str) -> dict[str, str]:
    """The option `--map selector=method,score=accuracy` as axis -> column. Raises UserError for any other form."""
    found: dict[str, str] = {}
    for part in text.split(","):
        axis, sign, column = (piece.strip() for piece in part.partition("="))
        if not sign or not column:
            raise UserError(f"--map: '{part.strip()}' is not axis=column, as in selector=method,score=accuracy.")
        if axis not in AXES:
            raise UserError(f"--map: {unknown('axis', axis, AXES)}")
        if axis in found:
            raise UserError(f"--map: the axis '{axis}' is given twice ({found[axis]} and {column}).")
        found[axis] = column
    return found


def read_scores(path: Path, mapping: Mapping[str, str], higher_is_better: bool = True) -> pd.DataFrame:
    """The tidy table (see `tidy.runs_table`) of the scores in a file.

    `mapping` is axis -> column; an axis that it leaves out has the same value in all rows, but for `selector` and
    `score`, which are then columns of these names. Without a seed axis every row is the single seed of its arm; a row
    with an empty seed belongs to an arm that has none, as the base model. Rows with an empty score are left out, with a
    warning that counts them. Raises UserError, which names the file, the column and the row.
    """
    import pandas as pd

    data = _read_table(path)
    columns = {axis: mapping.get(axis, axis if axis in data and axis in NEEDED else None) for axis in AXES}
    for axis, column in columns.items():
        if column is None and axis in NEEDED:
            raise UserError(
                f"{path}: no column for the axis '{axis}': add --map {axis}=COLUMN. {_columns_sentence(data)}"
            )
        if column is not None and column not in data:
            raise UserError(f"{path}: {unknown(f'column for {axis}', column, data.columns)}")
    rows = pd.DataFrame(
        {axis: data[column] if (column := columns[axis]) is not None else "" for axis in AXES}, index=data.index
    )
    rows["score"] = _as_numbers(rows["score"], path, str(columns["score"]))
    if empty := int(rows["score"].isna().sum()):
        log.warning(
            f"{path}: {count_text(empty)} of {count_text(len(rows))} rows have no score in '{columns['score']}' "
            "and are left out."
        )
    rows = rows[rows["score"].notna()]
    if rows.empty:
        raise UserError(f"{path}: no row has a score in '{columns['score']}'.")
    return _tidy_rows(rows, path, columns, higher_is_better)


def _tidy_rows(
    rows: pd.DataFrame, path: Path, columns: Mapping[str, str | None], higher_is_better: bool
) -> pd.DataFrame:
    import pandas as pd

    amount = pd.to_numeric(rows["budget"], errors="coerce")
    texts = rows.drop(columns=["score", "seed"]).apply(lambda column: column.map(_plain_text))
    seeds = rows["seed"].map(_plain_text) if columns["seed"] else pd.Series("0", rows.index)
    names = sorted(set(seeds) - {""})
    table = texts.assign(
        seed=seeds.map({"": NO_SEED, **{name: number for number, name in enumerate(names)}}),
        amount=amount,
        score=rows["score"],
        higher_is_better=higher_is_better,
    )
    if not columns["metric"]:
        table["metric"] = str(columns["score"])
    cell = ["pool", "scorer", "budget", "selector", "model", "trainer", "suite", "task", "metric", "seed"]
    if (twice := table.duplicated(cell, keep=False)).any():
        raise UserError(_twice_sentence(table, rows, twice, path, columns))
    missing = {name: "" for name in [*SETTING, *ARM, "run"] if name not in table}
    return table.assign(**missing, **dict.fromkeys(COSTS, float("nan"))).reset_index(drop=True)


def _twice_sentence(
    table: pd.DataFrame, rows: pd.DataFrame, twice: pd.Series[bool], path: Path, columns: Mapping[str, str | None]
) -> str:
    first = rows.index[twice][0]
    same = (table.drop(columns=["score", "amount"]) == table.drop(columns=["score", "amount"]).loc[first]).all(axis=1)
    axes = [axis for axis in AXES if columns[axis] and axis != "score"]
    what = ", ".join(f"{axis} {_plain_text(rows.loc[first, axis])}" for axis in axes)
    lines = [str(number + 2) for number in rows.index[same][:4]]
    left = [axis for axis in AXES if not columns[axis]]
    return (
        f"{path}: {count_text(int(twice.sum()))} rows share their cell with another; the first, lines {' and '.join(lines)}, are "
        f"both {what}. Remove one, or map the column that tells them apart (not mapped: {', '.join(left)})."
    )


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise UserError(f"no such file: {path}. --scores takes a CSV or Parquet file.")
    parquet = path.suffix in (".parquet", ".pq")
    try:
        data = pd.read_parquet(path) if parquet else pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are ValueErrors
        why = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as {'Parquet' if parquet else 'CSV'}: {why}") from error
    if data.empty:
        raise UserError(f"{path} has no rows.")
    return data.reset_index(drop=True)


def _as_numbers(values: pd.Series[float], path: Path, column: str) -> pd.Series[float]:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    wrong = (numbers.isna() & values.notna() & (values.astype(str).str.strip() != "")) | np.isinf(numbers)
    if wrong.any():
        row = int(values.index[wrong][0])
        raise UserError(
            f"{path}: {count_text(int(wrong.sum()))} of {count_text(len(values))} values of the score '{column}' "
            f"are not numbers; the first is '{values[row]}' in line {row + 2}."
        )
    return numbers.astype(float)


def _plain_text(value: object) -> str:
    """A value as a person would write it: `500` even if pandas has read it as 500.0; empty for a missing value."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _columns_sentence(data: pd.DataFrame) -> str:
    return f"Columns: {', '.join(map(str, data.columns))}."
