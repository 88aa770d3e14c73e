"""The output folder: every form of a name finds its run, stage or sweep, or the error says why not."""

from __future__ import annotations

import pytest

from selbench.errors import UserError
from selbench.store.axes import Axes
from selbench.store.inventory import Entry
from selbench.store.outputs import Outputs
from selbench.store.records import RECORD, Record
from selbench.store.stages import Store
from selbench.store.sweeps import Sweep

OLD, NEW = "20260101-000000-aaaaaa-1", "20260202-000000-bbbbbb-2"


@pytest.fixture
def outputs(tmp_path) -> Outputs:
    """Two sweeps (of one cell, and of two cells one of which has ended), the runs aa1, aa2 and bb1, and a stage."""
    made = Outputs(tmp_path)
    for key in ("aa1", "aa2", "bb1"):
        made.records.write(Record(key, "finished", Axes(selector=key, model="m"), {}))
    for id, keys, cells in ((OLD, ["aa1"], 1), (NEW, ["bb1"], 2)):
        sweep = made.sweeps.open(id)
        sweep.start("selbench -m", "default", [{"name": "", "key": "", "overrides": []}] * cells)
        for cell, key in enumerate(keys):
            sweep.done(cell, key, "finished", reused=False)
    Store(made.store).stage("features", {"a": 1}, lambda folder: (folder / "x").write_text("x") and None)
    return made


def test_a_run_is_found_by_key_by_beginning_and_by_cell(outputs):
    for name, key in (("aa2", "aa2"), ("b", "bb1"), ("latest/1", "bb1"), (f"{OLD}/1", "aa1"), ("20260101/1", "aa1")):
        found = outputs.find(name)
        assert isinstance(found, Record) and found.key == key, name
        assert outputs.find_run(name) == found


def test_a_stage_and_a_sweep_are_found(outputs):
    key = Store.key("features", {"a": 1})
    for name in (key, key[:12]):
        stage = outputs.find(name)
        assert isinstance(stage, Entry) and (stage.kind, stage.name) == ("features", key)
    for name, id in (("latest", NEW), (OLD, OLD), ("202601", OLD)):
        sweep = outputs.find(name)
        assert isinstance(sweep, Sweep) and sweep.id == id, name
    assert outputs.sweeps.names() == [OLD, NEW] and outputs.sweeps.latest == NEW
    assert outputs.sweeps.named("latest").id == NEW and outputs.sweeps.has(OLD) and not outputs.sweeps.has("x")


@pytest.mark.parametrize(
    "name, said",
    [
        ("aa", "'aa' is the beginning of 2 runs: aa1, aa2."),
        ("2026", "'2026' is the beginning of 2 sweeps: "),
        ("2026/1", "'2026' is the beginning of 2 sweeps: "),
        ("aa3", "unknown run, stage or sweep 'aa3' in .* Nearest: .*aa1"),
        ("latest/3", "has cells 1 to 2, but no cell '3'."),
        ("latest/0", "no cell '0'"),
        ("latest/x", "no cell 'x'"),
        ("latest/2", "cell 2 of sweep .* has no record: it did not start, or has not ended yet."),
        ("nosuch/1", "unknown run, stage or sweep 'nosuch'"),
    ],
)
def test_a_name_that_finds_nothing_or_too_much_is_an_error(outputs, name, said):
    with pytest.raises(UserError, match=said):
        outputs.find(name)


def test_a_sweep_is_not_a_run(outputs):
    with pytest.raises(
        UserError, match=r"'latest' is not a run: `selbench show latest` says which runs belong to it\."
    ):
        outputs.find_run("latest")
    with pytest.raises(UserError, match=r"unknown sweep '2026'.*Valid: "):
        outputs.sweeps.named("2026")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"key": "bb1"}', ""])
def test_a_broken_record_is_reported_and_the_others_are_still_read(outputs, text):
    (outputs.records.folder("bb1") / RECORD).write_text(text)
    assert [record.key for record in outputs.records.all()] == ["aa1", "aa2"]
    with pytest.raises(UserError, match="the record of run bb1 cannot be read: "):
        outputs.find("bb1")
    with pytest.raises(UserError, match="has no record"):
        outputs.find("latest/1")


def test_an_empty_or_missing_folder_has_no_runs_and_stays_as_it_is(tmp_path):
    for outputs in (Outputs(tmp_path), Outputs(tmp_path / "missing")):
        assert outputs.sweeps.names() == [] and outputs.sweeps.latest is None and outputs.records.all() == []
        for name in ("latest", "latest/1", "abc"):
            with pytest.raises(UserError, match="unknown run, stage or sweep"):
                outputs.find(name)
        with pytest.raises(UserError, match=r"unknown sweep 'latest'.*\(none\)"):
            outputs.sweeps.named("latest")
    assert list(tmp_path.iterdir()) == []  # asking makes nothing


def test_run_key_takes_the_key_from_a_path_or_a_cell_and_leaves_other_names_unchanged(outputs):
    folder = outputs.records.folder("aa1")
    for name, key in (
        (str(folder), "aa1"),
        (f"{folder}/", "aa1"),
        ("latest/1", "bb1"),
        ("mads via big", "mads via big"),
        ("aa", "aa"),
    ):
        assert outputs.run_key(name) == key
