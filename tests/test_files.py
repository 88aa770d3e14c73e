"""A file for keeps is whole or not there, whoever writes it."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from selbench.errors import UserError
from selbench.files import written_aside
from selbench.store.files import read_json, write_json, writing


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "board.csv.gz"
    path.write_text("old")
    with written_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
        assert aside.parent == tmp_path and aside.suffix == ".gz" and aside.name.startswith(".")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["board.csv.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "plan.json"
    path.write_text("old")
    with pytest.raises(error), written_aside(path) as aside:
        aside.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_nothing_is_left_where_nothing_was_written(tmp_path):
    with pytest.raises(OSError), written_aside(tmp_path / "empty.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_the_file_that_was_asked_for(tmp_path):
    folder = tmp_path / "board.csv"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*/board\.csv: "), writing(tmp_path):  # noqa: SIM117
        with written_aside(folder) as aside:
            aside.write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["board.csv"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_what_the_umask_gives(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_json(tmp_path / "record.json", {"a": 1})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == mode


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with written_aside(pipe) as aside:
        aside.write_text("items")
    reader.join(10)
    assert read == ["items"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(("durable", "times"), [(True, 1), (False, 0)])
def test_only_what_must_outlive_a_power_cut_waits_for_the_disk(tmp_path, monkeypatch, durable, times):
    waited = []
    monkeypatch.setattr(os, "fsync", waited.append)
    write_json(tmp_path / "1.json", {"work": "training"}, durable=durable)
    assert len(waited) == times
    assert read_json(tmp_path / "1.json") == {"work": "training"}
