"""Whole runs and grids through the command line, with toy plugins."""

from __future__ import annotations

import csv
import json

import pytest
from helpers.recorded import records


def test_one_run_leaves_a_complete_record(selbench, settings, tmp_path):
    ran = selbench(*settings, "selector=random", "budget=0.25")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path / "outputs")
    assert record["status"] == "finished"
    assert record["axes"]["selector"] == "random" and record["axes"]["budget"] == 0.25
    assert record["selection"]["examples"] == 10
    assert record["scores"][0]["task"] == "toy" and record["scores"][0]["items"] == 10
    assert set(record["cost"]) == {"selection", "training", "evaluation"}
    assert record["cost"]["selection"]["wall_s"] > 0 and record["cost"]["selection"]["peak_bytes"] > 0
    assert record["logged"]["training/steps"] == 10
    assert record["config"]["selector"]["name"] == "random"
    folder = tmp_path / "outputs" / "runs" / record["key"]
    assert ran.out.strip() == str(folder)
    assert len(json.loads((folder / "selection.json").read_text())["ids"]) == 10
    assert (folder / "items.parquet").is_file()


def test_the_same_command_again_does_nothing(selbench, settings, tmp_path):
    first = selbench(*settings)
    before = records(tmp_path / "outputs")
    second = selbench(*settings)
    assert first.status == second.status == 0
    assert "already done" in second.err
    assert records(tmp_path / "outputs") == before


@pytest.mark.parametrize(("selector", "status", "retry"), [("crashing", 1, "failed"), ("shy", 0, "skipped")])
def test_what_failed_or_was_skipped_is_run_again_only_on_request(selbench, settings, selector, status, retry):
    arguments = [*settings, f"selector={selector}"]
    assert "selecting" in selbench(*arguments).err
    again = selbench(*arguments)
    assert again.status == status and "selecting" not in again.err
    assert f"as before; retry={retry} runs it again" in again.err.replace("\n", " ")
    assert "selecting" in selbench(*arguments, f"retry={retry}").err


def test_a_misspelt_retry_or_reuse_is_refused(selbench, settings):
    assert "Valid: all, failed, skipped" in selbench(*settings, "retry=fail").err
    assert "Valid: missing, none, verify" in selbench(*settings, "reuse=some").err


def test_fail_fast_starts_no_further_cell(selbench, settings, tmp_path):
    ran = selbench("-m", *settings, "selector=crashing,random,longest", "fail_fast=true")
    assert ran.status == 1 and "1 failed, 2 not started" in ran.err
    assert len(records(tmp_path / "outputs")) == 1


def _executed(tmp_path, kind="selection"):
    lines = (tmp_path / "outputs" / "store" / "executed.jsonl").read_text().splitlines()
    return [stage["key"] for line in lines if (stage := json.loads(line))["kind"] == kind]


def test_one_ranking_serves_all_budgets_and_seeds(selbench, settings, tmp_path):
    selbench("-m", *settings, "selector=longest,random", "budget=4,10,0.2", "seed=0,1")
    executed = _executed(tmp_path)
    # longest does not depend on the seed; each ranking goes as far as the largest budget, 10 of 40
    assert len(executed) == 3 and all(key.endswith("-10") for key in executed)
    ids = {}
    for record in records(tmp_path / "outputs"):
        folder = tmp_path / "outputs" / "runs" / record["key"]
        key = record["axes"]["selector"], record["axes"]["seed"], record["axes"]["budget"]
        ids[key] = json.loads((folder / "selection.json").read_text())["ids"]
    assert ids["random", 1, 4] == ids["random", 1, 10][:4] and len(ids["random", 1, 0.2]) == 8


def test_reuse_none_does_everything_again_but_once(selbench, settings, tmp_path):
    arguments = ["-m", *settings, "selector=random", "seed=0,1", "budget=0.1,0.2"]
    selbench(*arguments)
    selbench(*arguments, "reuse=none")
    assert len(_executed(tmp_path)) == 2 * 2
    assert len(_executed(tmp_path, "training")) == len(_executed(tmp_path, "evaluation")) == 2 * 4


def test_reuse_verify_refuses_a_record_whose_stage_was_altered(selbench, settings, tmp_path):
    selbench(*settings)
    assert selbench(*settings, "reuse=verify").status == 0
    (scores,) = (tmp_path / "outputs" / "store" / "evaluation").glob("*/scores.json")
    scores.write_text(scores.read_text().replace("accuracy", "elegance"))
    ran = selbench(*settings, "reuse=verify")
    assert ran.status == 1 and "cannot be relied on" in ran.err and "scores.json" in ran.err
    assert selbench(*settings, "reuse=none").status == 0
    assert selbench(*settings, "reuse=verify").status == 0


def test_a_grid_shares_what_is_the_same_and_ends_with_the_leaderboard(selbench, settings, tmp_path):
    ran = selbench("-m", *settings, "selector=base,full,random,longest", "budget=0.1,0.25", "seed=0,1")
    assert ran.status == 0, ran.err
    counts = {}
    for record in records(tmp_path / "outputs"):
        counts[record["axes"]["selector"]] = counts.get(record["axes"]["selector"], 0) + 1
    # base has neither budget nor seed, full has no budget
    assert counts == {"base": 1, "full": 2, "random": 4, "longest": 4}
    assert "16 of 16 cells" in ran.err
    (board,) = (tmp_path / "outputs" / "reports").glob("*.csv")
    rows = list(csv.DictReader(board.read_text().splitlines()))
    assert {(row["selector"], row["budget"]) for row in rows} == {
        ("base", ""), ("full", ""), ("random", "10%"), ("random", "25%"), ("longest", "10%"), ("longest", "25%"),
    }  # fmt: skip
    for row in rows:
        assert (row["vs_baseline"] != "") == (row["selector"] != "random")
    assert "vs random" in ran.out


def test_deterministic_selectors_select_once_for_all_seeds(selbench, settings, tmp_path):
    selbench("-m", *settings, "selector=longest,random", "seed=0,1,2")
    assert len(list((tmp_path / "outputs" / "store" / "selection").iterdir())) == 1 + 3


def test_one_failing_cell_does_not_stop_the_others(selbench, settings, tmp_path):
    ran = selbench("-m", *settings, "selector=crashing,random,shy")
    assert ran.status == 1
    assert {r["axes"]["selector"]: r["status"] for r in records(tmp_path / "outputs")} == {
        "crashing": "failed", "random": "finished", "shy": "skipped",
    }  # fmt: skip
    assert "stage fright" in ran.err
    assert "1 finished" in ran.err and "1 skipped" in ran.err and "1 failed" in ran.err


def test_tokens_as_budget(selbench, settings, tmp_path):
    ran = selbench(*settings, "selector=longest", "budget=100", "budget_unit=tokens", "selector.unit=characters")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path / "outputs")
    # the longest responses have 40, 39, ... tokens: two fit into 100, the third does not
    assert record["selection"]["response_tokens"] == 79
    assert record["axes"]["budget_unit"] == "tokens"


def test_weights_are_dropped_unless_asked_for(selbench, settings, tmp_path):
    selbench(*settings)
    assert not list((tmp_path / "outputs" / "store" / "training").glob("*/weights"))
    selbench(*settings, "keep_models=true", "seed=7")
    assert len(list((tmp_path / "outputs" / "store" / "training").glob("*/weights"))) == 1


def test_dropped_weights_are_not_trained_again_for_a_cached_evaluation(selbench, settings, tmp_path):
    selbench(*settings)
    ran = selbench(*settings, "comparison=other")
    assert ran.status == 0 and "fine-tuning" not in ran.err
    first, second = records(tmp_path / "outputs")
    assert first["cost"]["training"] == second["cost"]["training"]


@pytest.mark.parametrize("select", [["--sweep", "latest"], ["--comparison", "default"], []])
def test_the_leaderboard_verb(selbench, settings, tmp_path, select):
    selbench("-m", *settings, "selector=random,longest")
    ran = selbench("leaderboard", "--outputs", str(tmp_path / "outputs"), *select)
    assert ran.status == 0 and "longest" in ran.out
    for suffix in ("csv", "parquet", "md", "html"):
        assert (tmp_path / "outputs" / "reports" / f"leaderboard.{suffix}").is_file()


def test_the_leaderboard_verb_without_runs(selbench, tmp_path):
    ran = selbench("leaderboard", "--outputs", str(tmp_path))
    assert ran.status == 2 and "no finished run" in ran.err


@pytest.mark.parametrize("form", ["alpaca", "messages"])
def test_select_exports_examples_and_ids(selbench, settings, tmp_path, form):
    out = tmp_path / "picked.jsonl"
    ran = selbench(
        "select",
        *settings,
        "selector=longest",
        "selector.unit=characters",
        "budget=3",
        "--out",
        str(out),
        "--form",
        form,
    )
    assert ran.status == 0, ran.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["0039", "0038", "0037"]
    assert ("messages" in rows[0]) == (form == "messages")
    assert (tmp_path / "picked.ids.txt").read_text().split() == ["0039", "0038", "0037"]


def test_select_refuses_an_arm_that_selects_nothing(selbench, settings):
    ran = selbench("select", *settings, "selector=base")
    assert ran.status == 2 and "nothing to export" in ran.err


def test_every_model_can_be_a_scorer(selbench, settings, tmp_path):
    kept = [other for other in settings if not other.startswith("model")]
    ran = selbench("--cfg", "job", *kept, "scorer=planted-1m", "model=planted-4m")
    assert ran.status == 0, ran.err
    assert "name: planted-1m" in ran.out and "name: planted-4m" in ran.out
