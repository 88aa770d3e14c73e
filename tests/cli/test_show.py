"""`selbench show` and `selbench rerun`: from a run to all that it came from, and to the same run again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from helpers.recorded import records
from helpers.toy_runs import TOYS


@pytest.fixture(scope="module")
def sweep(toy_model: Path, toy_pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a sweep of four cells, random and longest with two seeds: only to be read."""
    from selbench.cli.main import run

    outputs = tmp_path_factory.mktemp("sweep") / "outputs"
    toys = [
        f"plugin_path={TOYS}",
        "trainer=toy_trainer",
        "suite=[toy_suite]",
        "tracking=none",
    ]
    data = ["pool=file", f"pool.path={toy_pool}", "model=local", f"model.path={toy_model}", "model.name=toy"]
    grid = ["selector=random,longest", "budget=0.25", "seed=0,1", f"output_dir={outputs}"]
    assert run(["-m", *toys, *data, *grid]) == 0
    return outputs


@pytest.fixture
def swept(sweep: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with."""
    return shutil.copytree(sweep, tmp_path / "copy")


def _record(outputs: Path, selector: str, seed: int = 0) -> dict:
    return next(r for r in records(outputs) if r["axes"]["selector"] == selector and r["axes"]["seed"] == seed)


def test_a_run_is_shown_by_key_by_its_beginning_and_by_cell(selbench, swept):
    record = _record(swept, "longest")
    key, at = record["key"], ["--outputs", str(swept)]
    whole = selbench("show", key, *at)
    assert whole.status == 0, whole.err
    assert whole.out == selbench("show", key[:10], *at).out == selbench("show", "latest/3", *at).out
    assert whole.out == selbench("show", f"{record['sweep']}/3", *at).out
    for told in (key, "longest 25% toy s0", "finished", "by itself", f"selbench rerun {key}", record["axes"]["pool_key"],
                 record["stages"]["training"], "files given back", "toy_suite", "python"):  # fmt: skip
        assert told in whole.out


def test_the_numbers_that_a_selector_has_logged_are_shown(selbench, swept):
    record = _record(swept, "longest")
    path = swept / "runs" / record["key"] / "record.json"
    assert "\nselector  " not in selbench("show", record["key"], "--outputs", str(swept)).out
    logged = {**record["logged"], "selection/untagged_examples": 1568.0, "selection/neurons_on": 103.0}
    path.write_text(json.dumps({**record, "logged": logged}))
    shown = selbench("show", record["key"], "--outputs", str(swept))
    assert "\nselector    untagged examples 1,568  neurons on 103\n" in shown.out


def test_the_command_shown_makes_the_same_run(selbench, sweep):
    import shlex

    record = _record(sweep, "random", 1)
    (alone,) = [
        text
        for text in selbench("show", record["key"], "--outputs", str(sweep)).out.splitlines()
        if "by itself" in text
    ]
    ran = selbench(*shlex.split(alone)[3:])
    assert "already done" in ran.err and ran.out.strip().endswith(record["key"])


def test_every_cell_holds_the_command_that_was_typed_and_not_that_of_the_first_cell(selbench, sweep):
    commands = {record["command"] for record in records(sweep)}
    assert len(commands) == 1 and "selector=random,longest" in commands.pop()
    shown = selbench("show", _record(sweep, "longest", 1)["key"], "--outputs", str(sweep)).out
    assert "selbench -m" in shown and "seed=0,1" in shown


def test_config_and_json(selbench, swept):
    record = _record(swept, "random")
    at = ["--outputs", str(swept)]
    assert yaml.safe_load(selbench("show", record["key"], *at, "--config").out) == record["config"]
    shown = json.loads(selbench("show", record["key"], *at, "--json").out)
    assert shown["stages"] == record["stages"] and set(shown["stage_folders"]) == set(record["stages"])


def test_a_stage_shows_the_runs_that_rest_on_it(selbench, swept):
    first, second = _record(swept, "longest"), _record(swept, "longest", 1)
    ran = selbench("show", first["stages"]["selection"], "--outputs", str(swept))
    assert ran.status == 0 and first["key"] in ran.out and second["key"] in ran.out
    assert _record(swept, "random")["key"] not in ran.out
    features = first["stages"]["features/0"]
    assert second["key"] in selbench("show", features[:12], "--outputs", str(swept)).out


def test_a_sweep_shows_its_cells(selbench, swept):
    shown = selbench("show", "latest", "--outputs", str(swept)).out
    assert [text.split()[0] for text in shown.splitlines()[2:]] == ["1", "2", "3", "4"]
    assert "longest 25% toy s1  finished" in shown


def test_names_that_mean_nothing_or_too_much(selbench, swept):
    key = _record(swept, "random")["key"]
    at = ["--outputs", str(swept)]
    wrong = selbench("show", key[:-2] + "zz", *at)
    assert wrong.status == 2 and f"Nearest: {key}" in wrong.err
    shutil.copytree(swept / "runs" / key, swept / "runs" / f"{key}x")
    assert "beginning of 2 runs" in selbench("show", key[:12], *at).err
    assert selbench("show", key, *at).status == 0  # a whole key is meant as it stands
    assert "cells 1 to 4" in selbench("show", "latest/9", *at).err
    assert "is not a run" in selbench("rerun", "latest", *at).err
    assert "is not a run" in selbench("show", "latest", *at, "--config").err


def test_a_rerun_selects_the_same_and_scores_the_same(selbench, swept):
    for selector in ("random", "longest"):
        before = sorted(path.name for path in swept.rglob("*"))
        ran = selbench("rerun", _record(swept, selector, 1)["key"], "--outputs", str(swept))
        assert ran.status == 0, ran.err
        assert "identical: 10 ids in the same order" in ran.out and "0 of 10 items differ" in ran.out
        assert "warning" not in ran.err and "fine-tuning on 10" in ran.err  # nothing is reused
        assert before == sorted(path.name for path in swept.rglob("*"))


def test_a_rerun_that_selects_otherwise_fails(selbench, swept, tmp_path):
    record = _record(swept, "random")
    path = swept / "runs" / record["key"] / "selection.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "ids": kept["ids"][::-1]}))
    ran = selbench("rerun", record["key"], "--outputs", str(swept), "--out", str(tmp_path / "again"))
    assert ran.status == 1 and "another order" in ran.out
    assert len(records(tmp_path / "again")) == 1
    again = selbench("rerun", record["key"], "--outputs", str(swept), "--out", str(tmp_path / "again"))
    assert again.status == 2 and "not empty" in again.err


def test_a_rerun_says_what_has_changed_since(selbench, swept, toy_pool):
    record = _record(swept, "longest")
    path = swept / "runs" / record["key"] / "record.json"
    told = {**record, "versions": {**record["versions"], "python": "2.7"}}
    told["config"]["pool"]["limit"] = 39
    path.write_text(json.dumps(told))
    ran = selbench("rerun", record["key"], "--outputs", str(swept))
    assert "the pool has changed" in ran.err and "python 2.7 →" in ran.err
    assert ran.status == 1 and "of 10 recorded ids selected again" in ran.out


def test_a_rerun_here_reuses_what_is_there(selbench, swept):
    record = _record(swept, "random")
    done = selbench("rerun", record["key"], "--outputs", str(swept), "--here")
    assert done.status == 0 and "already done" in done.err
    assert done.out.strip() == str(swept / "runs" / record["key"])


def test_runs_that_failed_or_were_skipped_end_as_before(selbench, settings, tmp_path):
    selbench("-m", *settings, "selector=crashing,shy")
    at = ["--outputs", str(tmp_path / "outputs")]
    shown = selbench("show", "latest/1", *at)
    assert shown.status == 0 and "ZeroDivisionError" in shown.out
    shy = selbench("rerun", "latest/2", *at)
    assert shy.status == 0 and "stage fright" in shy.out
    crashed = selbench("rerun", "latest/1", *at)
    assert crashed.status == 0 and "ZeroDivisionError" in crashed.out


@pytest.mark.parametrize(
    "cell",
    [
        ["selector=mads", "selector.layers=all", "model=planted-4m", "scorer=planted-1m"],
        ["selector=kcenter_tfidf", "selector.metric=euclidean", "budget=7"],
        ["selector=sae_greedselect", "trainer=lora", "budget=1.0"],
        ["selector=nait", "target=[planted]", "trainer.match=steps"],
        ["selector=base", "suite=[mmlu,planted]", "trainer=alpaca_recipe"],
        ["selector=random", "suite=[response_loss]", "suite.response_loss.limit=3", "budget=500", "budget_unit=tokens"],
    ],
    ids=lambda cell: cell[0],
)
def test_a_record_alone_makes_the_run(cell):
    from selbench.cli.rerun import recorded_run
    from selbench.config.runs import compose_run
    from selbench.config.schemas import register
    from selbench.plugins import discover
    from selbench.run.identity import new_record
    from selbench.store.records import Record

    registry = discover()
    register(registry)
    run = compose_run([*cell, "pool.size=60"], registry)
    record = new_record(run)
    kept = Record.read(json.loads(json.dumps(record.plain(), default=str)))
    again = recorded_run(kept, [])
    assert new_record(again).key == record.key
    assert again.resolved == run.resolved


def test_the_arm_that_selects_nothing_is_shown_too(selbench, settings, tmp_path):
    selbench("-m", *settings, "selector=base,random")
    ran = selbench("show", "latest/1", "--outputs", str(tmp_path / "outputs"))
    assert ran.status == 0 and "evaluation" in ran.out, ran.err
