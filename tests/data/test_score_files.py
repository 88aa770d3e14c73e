"""Scores from files: every form that is read, and every mismatch that is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from selbench.data.score_files import read_scores
from selbench.errors import UserError

IDS = ["a", "7", "c"]


def written(folder, name, rows) -> str:
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif name.endswith(".csv"):
        path.write_text("\n".join([",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]))
    elif name.endswith(".parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        np.save(path, np.array(rows))
    return str(path)


def scores(path, ids=IDS, column="") -> list[float]:
    paths = [path] if isinstance(path, str) else path
    return read_scores(paths, "selector.scores", column).of(ids).tolist()


ROWS = [{"id": "c", "score": 3.0}, {"id": 7, "score": 2}, {"id": "a", "score": 1.5}]
TYPED = [{**row, "id": str(row["id"]), "score": float(row["score"])} for row in ROWS]


@pytest.mark.parametrize(
    "name, rows",
    [("s.jsonl", ROWS), ("s.json", ROWS), ("s.csv", ROWS), ("s.parquet", TYPED)],
    ids=lambda value: str(value)[:9],
)
def test_rows_with_ids_in_any_order(name, rows, tmp_path):
    assert scores(written(tmp_path, name, rows)) == [1.5, 2, 3]


def test_ids_as_numbers_with_a_fraction_of_nothing(tmp_path):
    rows = [{"id": 7.0, "score": 1.0}, {"id": 8.0, "score": 2.0}]
    assert scores(written(tmp_path, "s.parquet", rows), ["8", "7"]) == [2, 1]


def test_row_numbers_and_the_order_of_the_pool(tmp_path):
    assert scores(written(tmp_path, "r.jsonl", [{"row": 2, "s": 3}, {"row": 0, "s": 1}, {"row": 1, "s": 2}])) == [
        1,
        2,
        3,
    ]
    assert scores(written(tmp_path, "o.jsonl", [{"s": 1}, {"s": 2}, {"s": 3}])) == [1, 2, 3]
    assert scores(written(tmp_path, "o.npy", [1, 2, 3])) == [1, 2, 3]


def test_several_files_and_rows_of_other_pools(tmp_path):
    one = written(tmp_path, "a.jsonl", [{"id": "a", "score": 1}, {"id": "z", "score": 9}])
    two = written(tmp_path, "b.csv", [{"id": "7", "score": 2}, {"id": "c", "score": 3}, {"id": "a", "score": 1}])
    assert scores([one, two]) == [1, 2, 3]
    read = read_scores([one, two], "selector.scores")
    assert read.unused(IDS) == 1


def test_the_column_is_the_only_one_of_numbers_or_the_one_that_is_named(tmp_path):
    path = written(tmp_path, "s.jsonl", [{"id": "a", "text": "x", "quality": 1, "complexity": 5}])
    assert scores(path, ["a"], "complexity") == [5]
    with pytest.raises(UserError, match=r"2 columns hold numbers \(quality, complexity\)"):
        scores(path, ["a"])
    with pytest.raises(UserError, match="no column 'rating'; the other columns are: text, quality, complexity"):
        scores(path, ["a"], "rating")


NAN = float("nan")
WRONG = {
    "missing id": (
        "s.jsonl",
        [{"id": "a", "score": 1}],
        r"no score for 2 of the 3 examples of the pool, among them '7'; its ids",
    ),
    "missing row": ("s.jsonl", [{"row": 0, "score": 1}], "no score for 2 of the 3 .* its last row is 0"),
    "nan": ("s.jsonl", [{"id": "a", "score": NAN}, {"id": "c", "score": 1}], "no column holds numbers"),
    "nan later": ("s.jsonl", [{"id": "a", "score": 1}, {"id": "c", "score": NAN}], "line 2: nan is no score"),
    "inf": ("s.csv", [{"id": "a", "score": 1}, {"id": "c", "score": "inf"}], "line 3: 'inf' is no score"),
    "null": ("s.jsonl", [{"id": "a", "score": 1}, {"id": "c", "score": None}], "line 2: nothing is no score"),
    "true": ("s.jsonl", [{"id": "a", "score": 1}, {"id": "c", "score": True}], "True is no score"),
    "nan in an array": ("s.npy", [1.0, NAN, 2.0], "entry 1: .*nan.* is no score"),
    "another length": ("s.npy", [1.0, 2.0], "has 2 scores without ids, and the pool 3 examples"),
    "two dimensions": ("s.npy", [[1.0, 2.0]], "no array of one dimension"),
    "twice": ("s.jsonl", [{"id": "a", "score": 1}, {"id": "a", "score": 2}], "'a' has the score 2 here and 1 before"),
    "no rows": ("s.jsonl", [], "holds no score"),
    "a list": ("s.json", [[1, 2]], "no row with columns"),
    "true as an id": ("s.jsonl", [{"id": True, "score": 1}], "True is no id"),
    "row below 0": ("s.jsonl", [{"row": -1, "score": 1}], "-1 is no row number"),
    "half a row": ("s.jsonl", [{"row": 0.5, "score": 1}], "0.5 is no row number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case, tmp_path):
    name, rows, message = WRONG[case]
    with pytest.raises(UserError, match=message):
        scores(written(tmp_path, name, rows))


def test_a_file_that_is_missing_damaged_or_of_another_kind(tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    (tmp_path / "s.txt").write_text("1\n")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, message in {
        "gone.csv": "selector.scores=.*gone.csv: there is no such file",
        "bad.npy": "is not an array of NumPy",
        "o.npy": "is not an array of NumPy",
        "s.txt": "has an extension that is not read",
    }.items():
        with pytest.raises(UserError, match=message):
            scores(str(tmp_path / name))


def test_scores_without_ids_do_not_mix(tmp_path):
    ordered, named = written(tmp_path, "o.npy", [1.0, 2.0]), written(tmp_path, "s.jsonl", [{"id": "c", "score": 1}])
    for paths in ([ordered, named], [ordered, written(tmp_path, "p.npy", [3.0])]):
        with pytest.raises(UserError, match="have to be in one file"):
            scores(paths)
