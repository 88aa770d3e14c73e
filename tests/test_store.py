"""Stages: made once, whole or not at all; costs counted once; records and sweeps read back."""

from __future__ import annotations

import errno
import multiprocessing
import time

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.store.cost import measure, total
from selbench.store.keys import derive_seed, digest
from selbench.store.records import Record, Records, axes_name
from selbench.store.stages import Store, load_arrays, save_arrays


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def _write(text: str):
    def compute(folder):
        (folder / "data.txt").write_text(text)
        return {"n": len(text)}

    return compute


def test_a_stage_is_computed_once(store):
    first = store.stage("kind", {"a": 1}, _write("one"))
    second = store.stage("kind", {"a": 1}, _write("two"))
    assert not first.reused and second.reused
    assert (second.path / "data.txt").read_text() == "one"
    assert second.logged == {"n": 3} and second.cost == first.cost
    assert store.stage("kind", {"a": 2}, _write("two")).key != first.key


def test_a_failing_stage_leaves_nothing_behind(store):
    def compute(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        store.stage("kind", {}, compute)
    assert [path for path in (store.root / "kind").iterdir()] == []
    assert store.stage("kind", {}, _write("whole")).reused is False


def test_a_full_disk_is_one_sentence(store):
    def compute(folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "x.npy"))

    with pytest.raises(UserError, match=r"cannot write .*x\.npy: No space left on device"):
        store.stage("kind", {}, compute)


def test_a_file_cut_short_is_noticed_and_made_again(store):
    stage = store.stage("kind", {}, _write("complete"))
    (stage.path / "data.txt").write_text("com")
    again = store.stage("kind", {}, _write("complete"))
    assert not again.reused and (again.path / "data.txt").read_text() == "complete"


def test_a_dropped_stage_is_remembered(store):
    stage = store.stage("kind", {}, _write("heavy"))
    store.drop("kind", stage.key)
    assert not (stage.path / "data.txt").exists()
    assert store.recall("kind", stage.key).cost == stage.cost
    assert store.stage("kind", {}, _write("heavy")).reused is False
    assert store.recall("kind", "nothing") is None


def _slowly(root, results):
    def compute(folder):
        time.sleep(0.3)
        (folder / "data.txt").write_text("x")

    results.put(Store(root).stage("kind", {}, compute).reused)


def test_of_several_processes_one_computes_and_the_others_wait(store):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_slowly, args=(store.root, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(results.get() for _ in processes) == [False, True, True, True]


def test_a_stage_inside_a_stage_is_not_counted_twice():
    with measure() as outer:
        time.sleep(0.05)
        with measure() as inner:
            time.sleep(0.2)
    assert inner["wall_s"] >= 0.2
    assert 0.05 <= outer["wall_s"] < 0.2
    assert total([outer, inner])["wall_s"] == pytest.approx(outer["wall_s"] + inner["wall_s"])
    assert total([outer, inner])["peak_bytes"] == max(outer["peak_bytes"], inner["peak_bytes"])


def test_arrays_survive_also_when_empty(tmp_path):
    arrays = {"none": np.zeros((0, 3)), "few": np.arange(5), "many": np.random.default_rng(0).random((300, 40))}
    save_arrays(tmp_path, arrays)
    loaded = load_arrays(tmp_path)
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())


def test_seeds_of_the_axes_differ_and_keys_are_stable():
    assert (
        len({derive_seed(seed, axis) for seed in range(50) for axis in ("selection", "training", "evaluation")}) == 150
    )
    assert derive_seed(0, "training") == 803553249  # a change would silently change every training
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_a_record_is_read_back(tmp_path):
    axes = {"selector": "mads", "budget": 0.15, "budget_unit": "examples", "model": "big", "scorer": "small", "seed": 3}
    scores = [
        {"suite": "s", "task": task, "metric": "m", "value": value, "headline": headline}
        for task, value, headline in (("a", 0.2, True), ("b", 0.4, True), ("c", 9.0, False))
    ]
    record = Record("key", "finished", axes, {"x": np.int64(3)}, scores=scores)
    records = Records(tmp_path)
    assert records.read("key") is None
    records.write(record)
    assert records.read("key").axes == axes and records.read("key").config == {"x": 3}
    assert record.headline == {"s": pytest.approx(0.3)}
    assert record.name == axes_name(axes) == "mads 15% big via small s3"
