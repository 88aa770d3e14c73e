"""Suites that score the selection: no model is trained or loaded, the key is the selection's, tables of their own."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records

PLANTED = ["pool=planted", "pool.size=400", "budget=0.1", "tracking=none"]


@pytest.fixture
def truth(selbench, tmp_path):
    def ran(*options: str, verb=("-m",)):
        return selbench(*verb, *PLANTED, "suite=planted_truth", f"output_dir={tmp_path / 'outputs'}", *options)

    return ran


def test_a_grid_scores_selections_and_trains_nothing(truth, selbench, tmp_path):
    plan = truth("selector=random,longest", "seed=0,1", verb=["plan", "-m"])
    assert plan.status == 0 and "training" not in plan.out.partition("stage ")[2].partition("total")[0], plan.out
    ran = truth("selector=random,longest", "seed=0,1")
    assert ran.status == 0, ran.err
    found = records(tmp_path / "outputs")
    # The selection of longest has no seed, and nothing else is scored: one run stands for all seeds.
    assert len(found) == 3 and all(set(one["cost"]) == {"selection", "evaluation"} for one in found)
    assert not (tmp_path / "outputs" / "store" / "training").exists()
    keys = {(one["axes"]["selector"], one["axes"]["seed"]): one["stages"]["evaluation/planted_truth"] for one in found}
    assert set(keys) == {("random", 0), ("random", 1), ("longest", None)} and keys["random", 0] != keys["random", 1]
    assert all({row["task"] for row in one["scores"]} == {"faults", "repeats", "skills"} for one in found)
    assert "planted_truth: mean" in ran.out and "e+" not in ran.out and "000,000" not in ran.out
    again = selbench("rerun", found[0]["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0, again.err
    done = truth("selector=random,longest", "seed=0,1", verb=["plan", "-m"])
    assert "4 cells: 4 done, 0 to run" in done.out


def test_arms_without_a_seed_are_told_apart_exactly_and_from_others_by_their_noise(truth, selbench, tmp_path):
    """Two arms that choose the same under every seed: no test is needed, and no noise is borrowed for them."""
    ran = truth("selector=random,longest,mads", "seed=0,1,2")
    assert ran.status == 0, ran.err
    assert "1 difference without noise: neither arm has a seed" in ran.out and "borrowed from cells" not in ran.out
    (table,) = json.loads(selbench("leaderboard", "--outputs", str(tmp_path / "outputs"), "--json").out)["tables"]
    pairs = {frozenset((pair["a"], pair["b"])): pair for pair in table["pairs"]}
    exact = next(pair for names, pair in pairs.items() if not any("random" in name for name in names))
    assert exact["p"] == exact["p_adjusted"] == 0 and exact["low_corrected"] == exact["high_corrected"] == exact["mean"]
    assert exact["mean"] > 0 and exact["verdict"] == "better"
    for names, pair in pairs.items():
        if any("random" in name for name in names):
            assert pair["p"] > 0 and pair["se_seed"] > 0


def test_another_suite_beside_it_is_scored_after_training(selbench, settings, tmp_path):
    (tmp_path / "plugins.py").write_text(
        "from selbench.api import Score, suite\n\n"
        '@suite("count", scores_selections=True)\n'
        "class Count:\n"
        '    """The number of chosen examples, and whether labels are there."""\n\n'
        "    def evaluate(self, chosen, context):\n"
        '        return [Score("all", "count", float(len(chosen.ids)))]\n'
    )
    from helpers.toy_runs import TOYS

    here = [text for text in settings if not text.startswith(("plugin_path=", "suite="))]
    both = ["suite=[toy_suite,count]", f"plugin_path=[{TOYS},{tmp_path / 'plugins.py'}]", "budget=5", "seed=0"]
    ran = selbench("-m", *here, *both, "selector=random,longest,base")
    assert ran.status == 0, ran.err
    found = {one["axes"]["selector"]: {row["suite"] for row in one["scores"]} for one in records(tmp_path / "outputs")}
    assert found == {"random": {"toy_suite", "count"}, "longest": {"toy_suite", "count"}, "base": {"toy_suite"}}
    tables = json.loads(selbench("leaderboard", "--outputs", str(tmp_path / "outputs"), "--json").out)["tables"]
    arms = {table["setting"]["suite"]: {row["selector"] for row in table["rows"]} for table in tables}
    assert arms == {"toy_suite": {"random", "longest", "base"}, "count": {"random", "longest"}}
    # The same selections alone: the scores come from the store, whatever model there is.
    alone = selbench("-m", *here, *both[1:], "suite=[count]", "selector=random", "comparison=alone")
    assert alone.status == 0 and "evaluating count" not in alone.err


def test_what_cannot_be_scored_is_refused_before_any_cell(truth, selbench, settings, tmp_path):
    for verb in (["-m"], ["plan", "-m"]):
        ran = truth("selector=random,base", verb=verb)
        assert (
            ran.status == 2
            and "base selects nothing: there is nothing that suite 'planted_truth' could score" in ran.err
        )
        ran = truth("selector=random", "suite.planted_truth.skills=[colours]", verb=verb)
        assert ran.status == 2 and "unknown skill 'colours'" in ran.err
        here = [text for text in settings if not text.startswith(("suite=", "plugin_path=", "trainer="))]
        ran = selbench(*verb, *here, "suite=planted_truth", "selector=random", "budget=5")
        assert ran.status == 2 and "has no skill or corrupted or duplicate_of: it is for pool=planted" in ran.err
    assert not list((tmp_path / "outputs").glob("runs/*"))


def test_a_missing_trainer_or_weights_are_no_matter(truth, tmp_path, toy_model):
    """The toy model has a tokenizer and no weights."""
    ran = truth("selector=random", f"model.path={toy_model}", "model=local", "model.name=toy", "seed=0", verb=[])
    assert ran.status == 0, ran.err


def test_filters_of_leaks_do_not_ask_it_for_items(truth):
    ran = truth("selector=random", "leaks=drop", "seed=0", verb=[])
    assert ran.status == 0, ran.err
