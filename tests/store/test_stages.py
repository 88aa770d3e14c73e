"""Stages are computed once, whole or not at all; locks, keys, costs, the inventory of the store, and sweeps."""

from __future__ import annotations

import errno
import multiprocessing
import time

import numpy as np
import pytest
from helpers import lock_holders

from selbench.errors import UserError
from selbench.store.axes import Axes
from selbench.store.cost import measure, total_cost
from selbench.store.files import load_arrays, save_arrays
from selbench.store.inventory import damaged, entries, remove, unneeded
from selbench.store.keys import derive_seed, digest
from selbench.store.locks import Locks
from selbench.store.records import Record
from selbench.store.stages import MANIFEST, Store
from selbench.store.sweeps import Sweep


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


def _cut(path):
    path.write_text("com")


def _altered(path):
    path.write_text("COMPLETE")  # the same length


def _gone(path):
    path.unlink()


def _manifest_altered(path):
    manifest = path.parent / MANIFEST
    manifest.write_text(manifest.read_text().replace('"n": 8', '"n": 9'))


def _manifest_cut(path):
    manifest = path.parent / MANIFEST
    manifest.write_text(manifest.read_text()[:40])


@pytest.mark.parametrize("spoil", [_cut, _altered, _gone, _manifest_altered, _manifest_cut])
def test_a_damaged_stage_is_reported_and_computed_again_or_refused(store, spoil, caplog):
    stage = store.stage("kind", {}, _write("complete"))
    spoil(stage.path / "data.txt")
    with pytest.raises(UserError, match=rf"{stage.key} is damaged: .*reuse=verify refuses"):
        Store(store.root, reuse="verify").stage("kind", {}, _write("complete"))
    assert damaged(store.root, {"kind": stage.key}).startswith(str(stage.path))
    again = store.stage("kind", {}, _write("complete"))
    assert not again.reused and (again.path / "data.txt").read_text() == "complete"
    assert f"{stage.key} is damaged" in caplog.text
    assert damaged(store.root, {"kind": stage.key}) is None


def test_reuse_none_reuses_only_stages_that_this_command_has_made(store):
    store.stage("kind", {}, _write("old"))
    time.sleep(0.002)
    anew = Store(store.root, reuse="none")
    time.sleep(0.002)
    assert not anew.stage("kind", {}, _write("new")).reused
    assert anew.stage("kind", {}, _write("newer")).reused
    assert (anew.stage("kind", {}, _write("newer")).path / "data.txt").read_text() == "new"


def test_a_ranking_serves_every_budget_up_to_its_length(store):
    first = store.ranking("selection", {}, _write("thirty"), least=10, reach=30)
    assert first.key.endswith("-30") and not first.reused
    assert store.ranking("selection", {}, _write("other"), least=20, reach=20).key == first.key
    longer = store.ranking("selection", {}, _write("forty"), least=40, reach=40)
    assert longer.key.endswith("-40") and not longer.reused
    assert store.ranking("selection", {}, _write("other"), least=5, reach=5).key == first.key


def test_the_stages_that_a_stage_asks_for_are_its_inputs(store):
    def outer(folder):
        store.stage("kind", {"inner": 1}, _write("inner"))

    inner = store.key("kind", {"inner": 1})
    stage = store.stage("kind", {"outer": 1}, outer, inputs=["other/x"])
    record = Record("run", "finished", Axes(), {}, stages={"kind": stage.key})
    rows = {entry.name: entry for entry in entries(store.root, [record])}
    assert set(rows[stage.key].inputs) == {f"kind/{inner}", "other/x"}
    assert rows[inner].runs == rows[stage.key].runs == ("run",)


def test_stages_without_a_record_are_removed_unless_a_process_is_at_work_on_them(store):
    kept, spare = store.stage("kind", {"a": 1}, _write("a")), store.stage("kind", {"a": 2}, _write("b"))
    (store.root / "kind" / f".{spare.key}.killed").mkdir()
    record = Record("run", "finished", Axes(), {}, stages={"kind": kept.key})
    spares = unneeded(entries(store.root, [record]))
    assert {entry.path.name for entry in spares} == {spare.key, f".{spare.key}.killed"}
    assert unneeded(spares, older_than_s=3600) == []
    busy = multiprocessing.get_context("spawn").Process(target=lock_holders.hold_stage, args=(store.root, spare.key))
    busy.start()
    while Locks(store.root / ".locks").free(f"kind-{spare.key}"):
        assert busy.is_alive()
        time.sleep(0.05)
    assert not any(remove(store.root, entry, store.locks) for entry in spares)
    busy.kill()  # a lock dies with its holder
    busy.join()
    assert all(remove(store.root, entry, store.locks) for entry in spares)
    assert kept.path.is_dir() and not spare.path.exists()


@pytest.mark.parametrize("shared", [False, True])
def test_a_waiting_process_says_which_process_holds_the_lock(tmp_path, shared):
    said = []
    locks = Locks(tmp_path / ".locks", shared=shared, say=said.append)
    holder = multiprocessing.get_context("spawn").Process(target=lock_holders.hold_a_second, args=(tmp_path, shared))
    holder.start()
    while not (tmp_path / ".locks" / "kind-x.json").is_file():
        assert holder.is_alive()
        time.sleep(0.02)
    with locks.hold("kind-x"):
        pass
    holder.join()
    assert len(said) == 1 and f"waiting for process {holder.pid} (counting), at it for" in said[0]


def test_a_lease_that_is_not_renewed_is_taken_over(tmp_path, monkeypatch):
    """As after the death of another machine: its lock file stays, and its process cannot be looked up from here."""
    monkeypatch.setattr("selbench.store.locks.LEASE_S", 0.5)
    locks = Locks(tmp_path / ".locks", shared=True)
    with locks.hold("kind-x"):
        left = (tmp_path / ".locks" / "kind-x.lock").read_text()
    import socket

    (tmp_path / ".locks" / "kind-x.lock").write_text(left.replace(socket.gethostname(), "another-machine"))
    start = time.monotonic()
    with locks.hold("kind-x"):
        assert 0.4 < time.monotonic() - start < 20


def test_a_checkpoint_survives_a_failure_and_is_deleted_after_success(store):
    def compute(fail):
        def work(folder):
            checkpoint = store.checkpoint("kind", {})
            seen = (checkpoint / "state").exists()
            (checkpoint / "state").write_text("half way")
            if fail:
                raise KeyboardInterrupt
            return {"resumed": seen}

        return work

    with pytest.raises(KeyboardInterrupt):
        store.stage("kind", {}, compute(fail=True))
    assert store.stage("kind", {}, compute(fail=False)).logged == {"resumed": True}
    assert not list((store.root / ".checkpoints").iterdir())


def test_a_sweep_reports_the_states_of_its_cells(tmp_path):
    sweep = Sweep(tmp_path, "id")
    sweep.start("selbench -m", "default", [{"name": str(i)} for i in range(5)])
    assert sweep.progress().line == "0 of 5 done"
    for cell in range(4):
        sweep.begin(cell, f"cell {cell}")
    sweep.note(3, "waiting for process 7")
    sweep.done(0, "a", "finished", reused=True)
    sweep.done(1, "b", "failed", reused=False)
    progress = Sweep(tmp_path, "id").progress()
    assert (progress.done, progress.running, progress.waiting, progress.failed, progress.reused) == (2, 1, 1, 1, 1)
    assert progress.line.startswith("2 of 5 done (1 reused), 1 running, 1 waiting, 1 failed, about")
    assert sweep.failed


def test_the_cost_of_a_dropped_stage_can_be_recalled(store):
    stage = store.stage("kind", {}, _write("heavy"))
    store.drop("kind", stage.key)
    assert not (stage.path / "data.txt").exists()
    assert store.recall("kind", stage.key).cost == stage.cost
    assert store.stage("kind", {}, _write("heavy")).reused is False
    assert store.recall("kind", "nothing") is None


def test_the_proof_that_a_ranking_is_nested_is_needed_as_long_as_the_ranking(store):
    ranking = store.ranking("selection", {"n": 1}, _write("ranked"), least=10, reach=20)
    proof = store.stage("prefix", {"n": 1, "ranking": ranking.key, "smallest": 5}, _write("proof"))
    spare = store.stage("prefix", {"n": 2, "ranking": "another-20", "smallest": 5}, _write("proof of nothing"))
    record = Record("k", "finished", Axes(), {}, stages={"selection": ranking.key})
    assert [entry.name for entry in unneeded(entries(store.root, [record]))] == [spare.key]
    assert {entry.name for entry in unneeded(entries(store.root))} == {ranking.key, proof.key, spare.key}


def test_of_several_processes_one_computes_and_the_others_wait(store):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=lock_holders.compute_slowly, args=(store.root, results)) for _ in range(4)]
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
    assert total_cost([outer, inner])["wall_s"] == pytest.approx(outer["wall_s"] + inner["wall_s"])
    assert total_cost([outer, inner])["peak_bytes"] == max(outer["peak_bytes"], inner["peak_bytes"])


def test_arrays_are_read_back_as_written_also_when_empty(tmp_path):
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


@pytest.fixture
def elsewhere():
    """`elsewhere(root, name, shared)` holds a lock in another process until the test ends, or it is killed."""
    started = []

    def start(root, name, shared=False):
        process = multiprocessing.get_context("spawn").Process(
            target=lock_holders.hold_named, args=(root, name, shared)
        )
        process.start()
        started.append(process)
        while not (root / ".locks" / f"{name}.json").is_file():
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_shared_store_is_recognised_by_a_process_that_was_not_told(tmp_path, elsewhere):
    elsewhere(tmp_path, "kind-x", shared=True)
    assert not Locks(tmp_path / ".locks").free("kind-x")  # as `selbench store gc` opens it
    assert Locks(tmp_path / ".locks").free("kind-y")


def test_stages_made_since_the_oldest_running_run_began_are_kept(store, elsewhere):
    before = store.stage("kind", {"a": 1}, _write("before"))
    time.sleep(0.05)
    run = elsewhere(store.root, "run-x")
    during = store.stage("kind", {"a": 2}, _write("during"))
    assert [entry.name for entry in unneeded(entries(store.root), since=store.locks.oldest("run-"))] == [before.key]
    run.kill()
    run.join()
    assert store.locks.oldest("run-") is None
    assert {entry.name for entry in unneeded(entries(store.root))} == {before.key, during.key}
