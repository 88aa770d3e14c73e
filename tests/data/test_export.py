"""What is exported is read back to the same examples, and a file appears whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from selbench.api import Example, Pool
from selbench.data.export import export
from selbench.data.pools import FilePool
from selbench.errors import UserError

POOL = Pool(
    [
        Example("plain", "Greet.", "Hello é\u2028\n"),
        Example("with input", "Add.", "3", input="1\n\n2", source="maths", category="sum"),
        Example("chat", "Bye", "Ciao", system="Be brief.", history=(("Hi", "Hello"), ("And?", "Well"))),
        Example("all", "Add.", "3", input="1 2", system="s", history=(("u", "v"),), source="x"),
    ],
    "mine",
)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
@pytest.mark.parametrize("form", ["alpaca", "sharegpt", "messages"])
def test_round_trip(tmp_path: Path, form: str, name: str) -> None:
    path = export(POOL, POOL.ids, tmp_path / "new" / "folder" / name, form)
    assert tuple(FilePool(path=str(path)).load().pool) == POOL.examples
    assert os.listdir(path.parent) == [name]


def test_only_the_chosen_in_the_order_given(tmp_path: Path) -> None:
    path = export(POOL, ["chat", "plain"], tmp_path / "ids.txt", "ids")
    assert path.read_text() == "chat\nplain\n"
    path = export(POOL, ["chat", "plain"], tmp_path / "out.jsonl", "messages")
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert [row["id"] for row in rows] == ["chat", "plain"]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["system"] + ["user", "assistant"] * 3


def test_alpaca_rows_are_what_llama_factory_reads(tmp_path: Path) -> None:
    row = json.loads(export(POOL, ["all"], tmp_path / "a.jsonl", "alpaca").read_text())
    assert row == {
        "id": "all",
        "instruction": "Add.",
        "input": "1 2",
        "output": "3",
        "system": "s",
        "history": [["u", "v"]],
        "source": "x",
    }


def test_unknown_form_and_foreign_id(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown export form 'alpacca'\. Did you mean 'alpaca'"):
        export(POOL, ["plain"], tmp_path / "a.jsonl", "alpacca")
    with pytest.raises(UserError, match="pool 'mine' has no example with the id 'x'"):
        export(POOL, ["plain", "x"], tmp_path / "a.jsonl", "ids")
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = export(POOL, ["plain"], tmp_path / "a.txt", "ids")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.txt cannot be written: No space left on device\."):
        export(POOL, POOL.ids, path, "ids")
    assert path.read_text() == "plain\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: (Not a directory|File exists)"):
        export(POOL, ["plain"], tmp_path / "file" / "a.txt", "ids")
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        export(POOL, ["plain"], tmp_path, "ids")
