"""`selbench select`: the format follows the ending, columns and row numbers are kept, and recorded selections are exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.recorded import records

from selbench.data.pools import FilePool
from selbench.run.inputs import _load_cached

ROWS = [
    {"question": f"q{n}", "best": "a" * (n + 1), "difficulty": n, "tags": ["x", str(n)], "context": "unread"}
    for n in range(6)
]


@pytest.fixture
def asked(settings: list[str], tmp_path: Path) -> list[str]:
    """Settings of a selection from a file with columns of its own; its third line is blank."""
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "mine.jsonl").write_text("\n".join([*lines[:2], "", *lines[2:]]) + "\n")
    kept = [other for other in settings if not other.startswith(("pool.path", "budget"))]
    columns = ["pool.columns.instruction=question", "pool.columns.response=best", "pool.columns.input=null"]
    return [
        *kept,
        f"pool.path={tmp_path / 'mine.jsonl'}",
        *columns,
        "selector=longest",
        "selector.unit=characters",
        "budget=2",
    ]


def _rows(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return [dict(row) for row in pd.read_parquet(path).to_dict("records")]
    if path.name.endswith(".csv"):
        return list(csv.DictReader(path.read_text().splitlines()))
    return (
        json.loads(path.read_text())
        if path.suffix == ".json"
        else [json.loads(x) for x in path.read_text().splitlines()]
    )


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_the_format_is_that_of_the_ending_and_nothing_of_a_row_is_lost(selbench, asked, tmp_path, ending):
    out = tmp_path / f"core.{ending}"
    ran = selbench("select", *asked, "--out", str(out))
    assert ran.status == 0, ran.err
    rows = _rows(out)
    assert [row["instruction"] for row in rows] == ["q5", "q4"] and [row["output"] for row in rows] == [
        "aaaaaa",
        "aaaaa",
    ]
    assert [int(row["pool_row"]) for row in rows] == [7, 6]  # lines, the blank one counted
    assert [int(row["difficulty"]) for row in rows] == [5, 4]
    tags = rows[0]["tags"]
    assert (json.loads(tags) if isinstance(tags, str) else list(tags)) == ["x", "5"]
    assert "context" not in rows[0]  # another reader would take it for the input
    again = FilePool(path=str(out)).load().pool
    assert [(e.instruction, e.response, e.input) for e in again] == [("q5", "aaaaaa", ""), ("q4", "aaaaa", "")]
    assert (tmp_path / "core.ids.txt").read_text().split() == [row["id"] for row in rows] == list(again.ids)


def test_ids_alone(selbench, asked, tmp_path):
    assert selbench("select", *asked, "--out", str(tmp_path / "core.ids.txt")).status == 0
    assert len((tmp_path / "core.ids.txt").read_text().split()) == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"core.ids.txt"} and not list(tmp_path.glob("core*.jsonl"))


@pytest.mark.parametrize("name", ["core.tsv", "core.parquet.gz", "core.xlsx"])
def test_another_ending_is_refused_before_any_work(selbench, asked, tmp_path, name):
    ran = selbench("select", *asked, "--out", str(tmp_path / name))
    assert ran.status == 2 and "Valid: .jsonl, .json, .csv, .parquet" in " ".join(ran.err.split())
    assert not (tmp_path / "outputs").exists()


def test_rows_of_several_files_name_their_file(selbench, asked, tmp_path):
    (tmp_path / "more.jsonl").write_text(json.dumps({**ROWS[0], "best": "a" * 99}) + "\n")
    kept = [other for other in asked if not other.startswith("pool.path")]
    out = tmp_path / "core.jsonl"
    ran = selbench("select", *kept, f"pool.path=[{tmp_path}/mine.jsonl,{tmp_path}/more.jsonl]", "--out", str(out))
    assert ran.status == 0, ran.err
    assert [(Path(row["pool_file"]).name, row["pool_row"]) for row in _rows(out)] == [
        ("more.jsonl", 1),
        ("mine.jsonl", 7),
    ]


def test_the_selection_of_a_recorded_run(selbench, asked, tmp_path):
    kept = [other for other in asked if not other.startswith("selector.")]
    assert selbench("-m", *kept, "selector=random,base", "seed=0,1").status == 0
    outputs, out = tmp_path / "outputs", tmp_path / "core.csv"
    ran = selbench("select", "--run", "latest/1", "--outputs", str(outputs), "--out", str(out))
    assert ran.status == 0, ran.err
    (record,) = [r for r in records(outputs) if r["axes"]["selector"] == "random" and r["axes"]["seed"] == 0]
    ids = json.loads((outputs / "runs" / record["key"] / "selection.json").read_text())["ids"]
    assert [row["id"] for row in _rows(out)] == ids
    by_key = selbench("select", "--run", record["key"], "--outputs", str(outputs))
    assert by_key.status == 0 and str(outputs / "selections") in by_key.out

    nothing = selbench("select", "--run", "latest/3", "--outputs", str(outputs))
    assert nothing.status == 2 and "has no selection to export" in nothing.err
    other = selbench("select", "--run", "latest/1", "budget=3", "--outputs", str(outputs))
    assert other.status == 2 and "as it was recorded" in other.err
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    _load_cached.cache_clear()  # another process has read nothing yet
    changed = selbench("select", "--run", "latest/1", "--outputs", str(outputs))
    assert changed.status == 2 and "has changed since" in changed.err
