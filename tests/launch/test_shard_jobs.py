"""Shards of features are jobs of the first wave, each before its feature."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.inline_launcher import inline
from helpers.launchers import run_command, with_launchers
from helpers.recorded import records
from helpers.tiny_models import make_model, make_pool
from helpers.toy_runs import TOYS, toy_settings
from helpers.toy_sweeps import board

from selbench.config.runs import composed_run
from selbench.run.carry_out import open_store
from selbench.run.features import FeatureStage
from selbench.run.inputs import pool_of
from selbench.run.shared_stage import compute_stage

PLUGINS = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from selbench.api import NotApplicable, Selection, selector

@dataclass(frozen=True)
class Whole:
    needs_scorer: ClassVar[bool] = False
    def compute(self, pool, context):
        return {"length": np.array([len(example.response) for example in pool])}

@dataclass(frozen=True)
class Cut(Whole):
    at: int = -1
    def compute_shard(self, pool, context, shard, of):
        if shard == self.at:
            raise NotApplicable("no shard of these texts")
        own = np.arange(len(pool))[shard::of]
        return {"examples": own, "length": super().compute(pool, context)["length"][own]}
    def merge_shards(self, shards, pool, context):
        length = np.zeros(len(pool), int)
        for one in shards:
            length[one["examples"]] = one["length"]
        return {"length": length}

@selector("two_features")
class TwoFeatures:
    """By length, of which it asks twice."""
    at: int = -1
    def needs(self, seed):
        return [Whole(), Cut(self.at)]
    def select(self, pool, budget, context):
        found = [context.features(spec)["length"] for spec in self.needs(0)]
        return Selection.ranked(found[0] + found[1], budget)
'''


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return Path(make_model(tmp_path_factory.mktemp("llama")).path)


@pytest.fixture
def grid(model, tmp_path) -> list[str]:
    """Settings of a run with a small model that can be read, and with the plugins above."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "cut.py").write_text(PLUGINS)
    rows = [
        {"id": one.id, "instruction": one.instruction, "input": one.input, "output": one.response}
        for one in make_pool(40)
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = toy_settings(model, tmp_path / "pool.jsonl", tmp_path / "outputs")
    rest = [text for text in settings if not text.startswith("plugin_path")]
    return [f"plugin_path=[{TOYS},{tmp_path / 'plugins'}]", *rest, "model.max_length=48", "budget=8"]


def stages_of(outputs: Path) -> list[dict]:
    sweep = max((outputs / "sweeps").iterdir(), key=lambda folder: folder.stat().st_mtime)
    return json.loads((sweep / "stages.json").read_text())


def executed(outputs: Path) -> list[tuple[str, str]]:
    lines = (outputs / "store" / "executed.jsonl").read_text().splitlines()
    return [(stage["kind"], stage["key"]) for stage in map(json.loads, lines)]


def features(outputs: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(outputs)): path.read_bytes() for path in (outputs / "store").glob("features/*/*.npy")}
    assert found
    return found


@pytest.mark.parametrize("launcher", with_launchers("processes"))
def test_the_board_and_the_features_are_those_of_one_process(grid, tmp_path, launcher):
    arms = ["selector=mads", "seed=0,1"]
    here = run_command("-m", *grid, *arms, f"output_dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stderr
    options = [f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=2", "feature_shards=3"]
    ran = run_command("-m", *grid, *arms, *options)
    assert ran.returncode == 0 and "waiting for" not in ran.stderr, ran.stderr
    outputs = tmp_path / "outputs"
    assert features(outputs) == features(tmp_path / "here") and board(outputs) == board(tmp_path / "here")
    stages = stages_of(outputs)
    for place, stage in enumerate(stages):
        if stage["kind"] == "features":
            assert [stages[one]["kind"] for one in stage["after"]] == ["shards"] * 3 and max(stage["after"]) < place
    found = executed(outputs)
    assert len(set(found)) == len(found) and Counter(kind for kind, _ in found)["shards"] == 3
    assert not [*(outputs / "store" / "shards").iterdir()]


def test_a_run_by_itself_is_cut_too(selbench, grid, tmp_path):
    assert selbench(*grid, "selector=mads", "feature_shards=3").status == 0
    assert selbench(*grid, "selector=mads", f"output_dir={tmp_path / 'whole'}").status == 0
    assert features(tmp_path / "outputs") == features(tmp_path / "whole")
    assert [kind for kind, _ in executed(tmp_path / "outputs")].count("shards") == 3


def test_a_feature_that_one_cell_needs_is_cut_into_jobs_and_what_it_is_built_on_comes_first(selbench, grid, tmp_path):
    sae = ["selector=sae_simscale", "selector.latents=32", "selector.k=4", "selector.train_tokens=500"]
    ran = selbench("-m", *inline(tmp_path), *grid, *sae, "feature_shards=2")
    assert ran.status == 0, ran.err
    stages = stages_of(tmp_path / "outputs")
    kinds = [stage["kind"] for stage in stages]
    assert kinds == ["autoencoder", "shards", "shards", "features"]
    assert [stage["after"] for stage in stages] == [[], [0], [0], [0, 1, 2]]
    assert [stage["label"].rpartition(", ")[2] for stage in stages[1:3]] == ["1 of 2", "2 of 2"]


def test_a_plugin_s_own_features_one_of_which_has_no_shards(selbench, grid, tmp_path):
    ran = selbench("-m", *inline(tmp_path), *grid, "selector=two_features", "seed=0,1", "feature_shards=3")
    assert ran.status == 0, ran.err
    stages = [stage for stage in stages_of(tmp_path / "outputs") if stage["kind"] in ("features", "shards")]
    kinds = [(stage["kind"], stage["label"].partition(" ")[0]) for stage in stages]
    assert kinds == [("features", "Whole"), *[("shards", "Cut")] * 3, ("features", "Cut")]


def test_a_shard_of_a_method_that_does_not_apply(selbench, grid, tmp_path):
    arms = ["selector=two_features,random", "selector.two_features.at=1", "seed=0,1", "feature_shards=3"]
    ran = selbench("-m", *inline(tmp_path), *grid, *arms)
    assert "Traceback" not in ran.err and "not computed, it does not apply: no shard of these texts" in ran.err, ran.err
    found = {(one["axes"]["selector"], one["status"], one["reason"]) for one in records(tmp_path / "outputs")}
    assert {(status, reason) for selector, status, reason in found if "random" not in selector} == {
        ("skipped", "no shard of these texts")
    }
    assert ("random", "finished", "") in found


def test_only_shards_that_are_missing_are_jobs(selbench, grid, tmp_path):
    outputs, run = tmp_path / "outputs", composed_run([*grid, "selector=mads", "feature_shards=3"])
    (spec,) = run.selector.needs(0)
    there = FeatureStage(spec, pool_of(run).pool, run.scorer).shards(3)[1]
    compute_stage("shards", there.key, [run], open_store(run))
    assert executed(outputs) == [("shards", there.key)]
    ran = selbench("-m", *inline(tmp_path), *grid, "selector=mads", "seed=0,1", "feature_shards=3")
    assert ran.status == 0, ran.err
    stages = [stage for stage in stages_of(outputs) if stage["kind"] in ("shards", "features")]
    assert [stage["kind"] for stage in stages] == ["shards", "shards", "features"]
    found = executed(outputs)
    assert found.count(("shards", there.key)) == 1 and [kind for kind, _ in found].count("shards") == 3
    # A job of another sweep that comes to a shard when the feature is there computes nothing.
    compute_stage("shards", there.key, [run], open_store(run))
    assert executed(outputs) == found


def test_the_plan_shows_the_shards_and_their_time(selbench, grid):
    arms = ["plan", "-m", *grid, "selector=mads", "seed=0,1", "--tflops", "0.0000001"]
    waves = {}
    for shards, workers in ((1, 4), (4, 1), (4, 2), (4, 4)):
        shown = selbench(*arms, "--workers", str(workers), f"feature_shards={shards}", "--json")
        waves[shards, workers] = json.loads(shown.out)["waves"]
    assert [waves[of, 4]["shards"] for of in (1, 4)] == [0, 4]
    assert waves[4, 4]["stages"] == waves[1, 4]["stages"] + 4
    (feature,) = [stage for stage in json.loads(shown.out)["stages"] if stage["stage"] == "features"]
    assert feature["seconds"] > 50
    saved = waves[1, 4]["stages_s"] - waves[4, 4]["stages_s"]
    assert saved == pytest.approx(feature["seconds"] * 3 / 4, abs=6)
    assert waves[4, 1]["stages_s"] > waves[4, 2]["stages_s"] > waves[4, 4]["stages_s"]
    text = selbench(*arms, "--workers", "4", "feature_shards=4").out
    assert "shared stages (4 shards of features among them) in " in text
    assert "shards" not in selbench(*arms, "--workers", "4").out


@pytest.mark.parametrize("verb", [[], ["-m"], ["plan"], ["plan", "-m"], ["select"]], ids=" ".join)
def test_numbers_of_shards_that_cannot_be_are_refused(selbench, grid, tmp_path, verb):
    refused = selbench(*verb, *grid, "selector=random", "feature_shards=0")
    assert refused.status == 2 and "feature_shards=0: a feature is computed in 1 shard at least" in refused.err
    if "-m" in verb:
        refused = selbench(*verb, *grid, "selector=random", "feature_shards=2,3")
        assert refused.status == 2 and "feature_shards differs between cells (2, 3)" in refused.err
    assert not (tmp_path / "outputs").exists()


def test_shards_that_are_left_over_are_cleaned_up(selbench, grid, tmp_path):
    """Of a feature that was never merged: as if a command was killed and the method given up."""
    from selbench.store.stages import Store

    assert selbench(*grid, "selector=mads", "feature_shards=2").status == 0
    outputs = tmp_path / "outputs"
    store = Store(outputs / "store")
    store.part("shards", {"feature": "x"}, lambda folder: np.save(folder / "examples.npy", np.arange(2)))
    said = selbench("store", "gc", "--outputs", str(outputs)).err
    assert said.count("deleted shards/") == 1 and "1 entries" in said, said
    assert features(outputs)
