"""The pools that ship: their names and options, their kind in the record, and the run that a record describes."""

from __future__ import annotations

import dataclasses
import json

import pytest
from helpers.toy_runs import toy_pool

from selbench.config.recorded import run_of_record
from selbench.config.runs import composed_run
from selbench.planted.pool import PlantedPool
from selbench.plugins import discover, recorded_pools
from selbench.store.axes import Axes
from selbench.store.records import Record
from selbench.tracking.previews import pool_of, target_of


def _class(name):
    return discover().get("pool", name).cls


def test_each_has_the_name_of_its_plugin():
    for name in ("file", "hub", "planted"):
        assert _class(name)().name == name


def test_a_local_copy_of_a_hub_data_set_is_read_instead(tmp_path):
    assert len(_class("hub")(hub="no/such", path=str(toy_pool(tmp_path))).load().pool) == 40


def test_planted_is_the_generated_pool():
    assert _class("planted")(size=50).load().pool.fingerprint == PlantedPool(size=50).load().pool.fingerprint


def test_what_can_be_read_again_in_a_moment(tmp_path):
    file, path = _class("file"), str(toy_pool(tmp_path))
    assert file(path=path).quick and file(path=[path]).quick and _class("planted")().quick
    assert not file(path=[path, str(tmp_path / "no.jsonl")]).quick
    assert not file(path=[path, path]).quick and not file().quick and not _class("hub")(hub="a/b").quick


CHOSEN = ["pool=planted", "pool.size=60", "target=[file,planted]", "target.file.path=mine.jsonl"]


@pytest.mark.parametrize("old", [False, True], ids=["names its pools", "from before pools were plugins"])
def test_the_run_of_a_record_has_the_recorded_pools(old):
    run = composed_run(CHOSEN)
    assert run.resolved["plugins"]["pool"] == "planted"
    assert run.resolved["plugins"]["target"] == {"file": "file", "planted": "planted"}
    config = json.loads(json.dumps(run.resolved))
    if old:
        del config["plugins"]["pool"], config["plugins"]["target"]
    again = run_of_record(config, "random", "trl")
    assert again.pool == run.pool and again.targets == run.targets and type(again.pool) is type(run.pool)


def test_a_recorded_hub_pool_stays_one():
    run = composed_run(["pool=dolly"])
    assert recorded_pools(run.resolved) == ("hub", {})
    again = run_of_record(run.resolved, "random", "trl").pool
    assert dataclasses.replace(again, stated=run.pool.stated) == run.pool  # sizes for plans are in no record


@pytest.mark.parametrize("old", [False, True])
def test_previews_read_the_recorded_pool_where_that_is_quick(tmp_path, old):
    path = toy_pool(tmp_path)
    run = composed_run(["pool=file", f"pool.path={path}", "target=planted", "target.planted.size=30"])
    config = dict(run.resolved)
    if old:
        config["plugins"] = {"trainer": "trl"}
    record = _record(config, run.pool.load().pool.fingerprint[:20])
    assert len(pool_of(record)) == 40 and len(target_of(record, "planted")) == 30
    assert target_of(record, "none") is None
    assert pool_of(_record(config, "other")) is None
    path.unlink()
    hub = composed_run(["pool=dolly"]).resolved
    assert pool_of(_record(dict(hub), "")) is None
    assert pool_of(_record({**config, "plugins": {"pool": "gone"}}, "")) is None


def _record(config, key):
    axes = Axes(pool="p", selector="random", model="m", seed=0, pool_key=key)
    return Record(key="k", status="finished", axes=axes, config=config)


def test_a_target_that_cannot_be_read_names_its_own_settings(tmp_path):
    from selbench.errors import UserError
    from selbench.run.inputs import load_target

    def said(*settings: str) -> str:
        with pytest.raises(UserError) as error:
            load_target(composed_run(["selector=nait", "target=file", *settings]))
        return str(error.value)

    assert "target 'file': nothing to read from: set target.file.path=" in said()
    missing = said(f"target.file.path={tmp_path / 'pool.path.jsonl'}")
    assert "set by target.file.path" in missing and "pool.path.jsonl does not exist" in missing
    (tmp_path / "odd.jsonl").write_text('{"q": "a", "a": "b"}\n')
    assert "+target.file.columns.instruction=" in said(f"target.path={tmp_path / 'odd.jsonl'}")
