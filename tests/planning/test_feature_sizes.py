"""What a specification says of its feature's size is what the feature then takes; a plan counts with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context
from selbench.config.runs import compose_run
from selbench.features.activations import ActivationTags, PooledActivations
from selbench.features.cut import CutTexts
from selbench.features.directions import Directions, Projections
from selbench.features.embeddings import HiddenStates, TextEmbeddings
from selbench.features.lengths import ResponseLength
from selbench.features.losses import ResponseLosses
from selbench.features.sae import SparseAutoencoder
from selbench.planning.flops import model_shape
from selbench.planning.planner import plan_of
from selbench.plugins import discover
from selbench.sizes import PoolSize

ROWS = 12
# Specification, and by how much the size may be off: where it depends on the values, or small arrays beside it are not counted.
SPECS = {
    "values": (PooledActivations(layers="0,2", response=True), 0.02),
    "values of a feed-forward block, float16": (PooledActivations("ffn_prod", layers="all", dtype="float16"), 0.02),
    "tags by share": (ActivationTags(layers="all", level=0.1), 0.35),
    "tags, the largest": (ActivationTags(layers="middle", threshold="top_m", level=8), 0.15),
    "hidden states": (HiddenStates(), 0.0),
    "embeddings": (TextEmbeddings(dimension=4), 0.0),
    "lengths": (ResponseLength(), 0.0),
    "cut texts": (CutTexts(), 0.7),
    "losses": (ResponseLosses(), 0.0),
    "directions": (Directions(layers="0,1"), 0.7),
    "projections": (Projections(np.ones((2, 3, 16), np.float32)), 0.05),
    "autoencoder": (SparseAutoencoder(latents=64, k=2, tokens=200), 0.15),
}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", SPECS)
def test_a_feature_takes_what_its_specification_says(name, scorer):
    spec, off = SPECS[name]
    pool = make_pool(ROWS)
    found = spec.compute(pool, Context(pool, scorer=scorer))
    taken = sum(np.asarray(array).nbytes for array in found.values())
    said = spec.size(PoolSize(ROWS, 100.0, 60.0), model_shape(scorer))
    assert said.bytes == pytest.approx(taken, rel=off, abs=0)


def test_tokens_are_those_of_the_texts_that_the_scorer_reads(scorer):
    def tokens(spec):
        return spec.size(PoolSize(ROWS, 100.0, 60.0), model_shape(scorer)).tokens

    assert tokens(PooledActivations(response=True)) == 160 and tokens(HiddenStates()) == 100
    assert tokens(ResponseLosses()) == 160 and tokens(ResponseLosses("marked_response")) == 60
    assert tokens(ResponseLength()) == tokens(CutTexts()) == tokens(TextEmbeddings()) == 0
    autoencoder = SparseAutoencoder(latents=64, k=2, tokens=200, batch=50)
    said = autoencoder.size(PoolSize(ROWS, 100.0, 60.0), model_shape(scorer))
    # Four steps of 50 tokens; per token three products of 2 d L with each of two matrices of d x L.
    assert said.tokens == 200 and said.flops == 200 * 3 * 2 * 2 * 16 * 64


@pytest.fixture(scope="module")
def registry():
    from selbench.config.schemas import register

    found = discover()
    register(found)
    return found


def _planned(registry, tmp_path, *settings):
    run = compose_run(["pool.size=600", f"output_dir={tmp_path}", *settings], registry)
    (stage,) = [stage for stage in plan_of([run]).stages if stage.stage == "features"]
    return stage


def test_a_plan_counts_no_forward_pass_for_a_feature_of_the_tokenizer(registry, tmp_path):
    assert not _planned(registry, tmp_path, "selector=longest").tokens
    assert _planned(registry, tmp_path, "selector=mads").tokens


def test_a_plan_counts_the_tokens_that_an_autoencoder_is_trained_on(registry, tmp_path):
    settings = ["selector=sae_simscale", "pool.size=600", f"output_dir={tmp_path}"]
    (trained,) = [stage for stage in plan_of([compose_run(settings, registry)]).stages if stage.stage == "autoencoder"]
    assert trained.tokens == pytest.approx(200_000, rel=0.2)


@dataclasses.dataclass(frozen=True)
class _Broken(PooledActivations):
    def size(self, pool, model):
        raise RuntimeError("no size")


def test_a_size_that_cannot_be_said_leaves_the_general_estimate(registry, tmp_path, monkeypatch):
    before = _planned(registry, tmp_path, "selector=mads")
    monkeypatch.setattr(ActivationTags, "size", _Broken.size)
    general = _planned(registry, tmp_path, "selector=mads")
    assert general.tokens > before.tokens  # prompts and responses, where the tags need prompts
