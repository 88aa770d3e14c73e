"""Shards of a feature are stages: computed once, resumed apart, and gone when the feature is there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context, ModelRef, NotApplicable, Pool
from selbench.errors import PluginError
from selbench.features import extractor, forward, resume
from selbench.features.activations import ActivationTags, PooledActivations
from selbench.features.embeddings import TextEmbeddings
from selbench.features.lengths import ResponseLength
from selbench.features.sae import SparseAutoencoder
from selbench.features.sae_tags import SaeTags
from selbench.run.features import FeatureStage, feature_provider, shard_result
from selbench.store.stages import EXECUTED, MANIFEST, Store

POOL = make_pool(40)


@dataclass(frozen=True)
class Lengths:
    """A feature of a plugin's own: `length`, N numbers of letters. Every example is looked at once."""

    shift: int = 0

    needs_scorer: ClassVar[bool] = False
    looked_at: ClassVar[list[str]] = []
    fails_at: ClassVar[list[tuple[int, BaseException]]] = []

    def compute(self, pool, context):
        return {"length": self._lengths(pool, range(len(pool)))}

    def compute_shard(self, pool, context, shard, of):
        own = [*range(shard, len(pool), of)]  # any examples may be a shard
        for number, error in self.fails_at:
            if number == shard:
                raise error
        context.log(flops=10.0)
        return {"examples": own, "length": self._lengths(pool, own)}  # a list is an array too

    def merge_shards(self, shards, pool, context):
        length = np.zeros(len(pool), np.int64)
        for shard in shards:
            length[shard["examples"]] = shard["length"]
        context.log(longest=float(length.max()))
        return {"length": length}

    def _lengths(self, pool, positions):
        self.looked_at.extend(pool[i].id for i in positions)
        return np.array([len(pool[i].response) + self.shift for i in positions])


@dataclass(frozen=True)
class OddShards(Lengths):
    """Shards that are not what they should be."""

    odd: str = field(default="", kw_only=True)

    def compute_shard(self, pool, context, shard, of):
        found = super().compute_shard(pool, context, shard, of)
        return {
            "nothing": None,
            "unnamed": {"length": found["length"]},
            "outside": {**found, "examples": np.array(found["examples"]) + len(pool)},
            "words": {**found, "examples": [pool[i].id for i in found["examples"]]},
            "twice": {"examples": [0], "length": [0]},
        }[self.odd]


@pytest.fixture(autouse=True)
def nothing_yet():
    Lengths.looked_at.clear()
    Lengths.fails_at.clear()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("llama"))


def computed(store: Store) -> list[str]:
    lines = (store.root / EXECUTED).read_text().splitlines() if (store.root / EXECUTED).exists() else []
    return [json.loads(line)["kind"] for line in lines]


def kept(store: Store, kind: str) -> list[str]:
    return sorted(path.parent.name for path in store.root.glob(f"{kind}/[!.]*/{MANIFEST}"))


def manifest(store: Store, spec, pool: Pool = POOL, scorer: ModelRef | None = None) -> dict:
    stage = FeatureStage(spec, pool, scorer)
    return json.loads((store.root / stage.kind / stage.key / MANIFEST).read_text())


def provided(store: Store, spec, shards: int, pool: Pool = POOL, scorer: ModelRef | None = None) -> dict:
    return feature_provider(store, [], shards)(spec, pool, Context(pool, scorer=scorer))


@pytest.mark.parametrize("shards", [1, 2, 3, 50])
def test_the_feature_is_the_same_and_its_shards_are_gone(tmp_path, shards):
    store = Store(tmp_path)
    assert np.array_equal(provided(store, Lengths(), shards)["length"], [len(example.response) for example in POOL])
    assert sorted(Lengths.looked_at) == sorted(POOL.ids)
    assert computed(store) == ["shards"] * (shards if shards > 1 else 0) + ["features"]
    assert kept(store, "shards") == [] and not [*(tmp_path / ".checkpoints").glob("*")]
    about = manifest(store, Lengths())
    longest = float(max(len(example.response) for example in POOL))
    assert about["inputs"] == [] and about["logged"] == ({"longest": longest} if shards > 1 else {})
    assert about["cost"].get("flops", 0) == (10.0 * shards if shards > 1 else 0)


def test_a_shard_that_was_interrupted_is_computed_and_the_others_are_not_again(tmp_path):
    store = Store(tmp_path)
    Lengths.fails_at.append((2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        provided(store, Lengths(), 4)
    assert computed(store) == ["shards"] * 2 and len(kept(store, "shards")) == 2
    before = {*Lengths.looked_at}
    Lengths.fails_at.clear()
    Lengths.looked_at.clear()
    provided(store, Lengths(), 4)
    assert {*Lengths.looked_at} == {*POOL.ids} - before
    assert computed(store) == ["shards"] * 4 + ["features"] and kept(store, "shards") == []
    # The cost is that of all shards, whenever they were computed.
    assert manifest(store, Lengths())["cost"]["flops"] == 40


@pytest.mark.parametrize("then", [1, 2, 5])
def test_another_number_of_shards_after_an_interruption(tmp_path, then):
    store = Store(tmp_path)
    Lengths.fails_at.append((2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        provided(store, Lengths(), 3)
    Lengths.fails_at.clear()
    found = provided(store, Lengths(), then)
    assert np.array_equal(found["length"], [len(example.response) for example in POOL])
    assert kept(store, "shards") == []


def test_a_reused_feature_computes_no_shard(tmp_path):
    store = Store(tmp_path)
    provided(store, Lengths(), 3)
    made = computed(store)
    provided(store, Lengths(), 3)
    provided(store, Lengths(), 7)
    assert computed(store) == made


def test_shards_of_two_features_two_pools_and_two_scorers_are_apart(tmp_path, scorer):
    store, other = Store(tmp_path / "store"), make_model(tmp_path / "other", seed=1)
    spec, pools = PooledActivations(), (POOL, make_pool(30, seed=2))
    stages = [
        FeatureStage(one, pool, model)
        for one in (spec, ActivationTags())
        for pool in pools
        for model in (scorer, other)
    ]
    keys = {shard.key for stage in stages for shard in stage.shards(3)}
    assert len(keys) == 3 * len(stages) and len({stage.shards(2)[0].key for stage in stages} | keys) == 4 * len(stages)
    # One of them half done is left alone by the end of another.
    provide = feature_provider(store, [], 3)
    shard_result(stages[0], stages[0].shards(3)[1], store, provide)
    values = provided(store, spec, 3, pools[1], other)
    assert kept(store, "shards") == [stages[0].shards(3)[1].key]
    assert np.array_equal(values["values"], spec.compute(pools[1], Context(pools[1], scorer=other))["values"])


def test_what_a_shard_is_built_on_is_an_input_of_the_feature(tmp_path, scorer):
    store, spec = Store(tmp_path), SaeTags(SparseAutoencoder(latents=32, k=4, tokens=500))
    found = provided(store, spec, 2, scorer=scorer)
    (autoencoder,) = kept(store, "autoencoder")
    assert manifest(store, spec, scorer=scorer)["inputs"] == [f"autoencoder/{autoencoder}"]
    assert computed(store) == ["autoencoder", "shards", "shards", "features"]
    whole = Store(tmp_path / "whole")
    expected = provided(whole, spec, 1, scorer=scorer)
    assert all(np.array_equal(found[name], array) for name, array in expected.items()) and len(found) == len(expected)
    names = [manifest(one, spec, scorer=scorer)["logged"].keys() for one in (store, whole)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "spec", [ResponseLength(), TextEmbeddings(), SparseAutoencoder()], ids=lambda spec: str(spec)[:12]
)
def test_a_feature_that_cannot_be_cut_is_computed_as_a_whole(spec, scorer):
    assert FeatureStage(spec, POOL, scorer).shards(3) == []
    assert len(FeatureStage(TextEmbeddings("."), POOL, None).shards(3)) == 3


def test_a_shard_may_say_that_the_method_does_not_apply(tmp_path):
    store = Store(tmp_path)
    Lengths.fails_at.append((1, NotApplicable("these texts have no letters")))
    with pytest.raises(NotApplicable, match="no letters"):
        provided(store, Lengths(), 3)
    assert computed(store) == ["shards"] and kept(store, "features") == []


@pytest.mark.parametrize("odd", ["nothing", "unnamed", "outside", "words"])
def test_shards_without_positions_are_refused(tmp_path, odd):
    with pytest.raises(PluginError, match=r"feature 'OddShards': compute_shard\(\) has to return .* `examples`"):
        provided(Store(tmp_path), OddShards(odd=odd), 2)


def test_shards_that_do_not_make_up_the_pool_are_refused_and_discarded(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(PluginError, match=r"of 40 examples .* 39 not at all and 1 several times"):
        provided(store, OddShards(odd="twice"), 2)
    assert computed(store) == ["shards"] * 2 and kept(store, "shards") == [] and kept(store, "features") == []


def test_a_shard_that_was_cut_off_goes_on_from_its_checkpoint(tmp_path, scorer, monkeypatch):
    for name in ("EVERY_S", "SHARE"):
        monkeypatch.setattr(resume, name, 0.0)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 64)
    store, spec, read_on = Store(tmp_path / "store"), PooledActivations(), forward.read_activations
    seen: list[int] = []

    def reading(until):
        def read(model, texts, batches, readings):
            for found in read_on(model, texts, batches, readings):
                if len(seen) == until:
                    raise KeyboardInterrupt
                seen.append(len(found[0]))
                yield found

        return read

    whole = provided(Store(tmp_path / "whole"), spec, 1, scorer=scorer)
    monkeypatch.setattr(extractor, "read_activations", reading(None))
    spec.compute_shard(POOL, Context(POOL, scorer=scorer), 0, 2)
    first = len(seen)
    seen.clear()
    monkeypatch.setattr(extractor, "read_activations", reading(first + 2))
    with pytest.raises(KeyboardInterrupt):
        provided(store, spec, 2, scorer=scorer)
    assert computed(store) == ["shards"]
    monkeypatch.setattr(extractor, "read_activations", reading(None))
    assert np.array_equal(provided(store, spec, 2, scorer=scorer)["values"], whole["values"])
    # What was read before the interruption was not read again.
    assert sum(seen) == len({example.text for example in POOL})


def test_the_feature_of_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    (block,) = [text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "def compute_shard" in text]
    names: dict = {"__name__": __name__}
    exec(block, names)
    spec, context = names["ResponseWords"](), Context(POOL)
    for of in (1, 3, 100):
        shards = [spec.compute_shard(POOL, context, shard, of) for shard in range(of)]
        merged = spec.merge_shards([shard for shard in shards if len(shard["examples"])], POOL, context)
        assert np.array_equal(merged["words"], spec.compute(POOL, context)["words"])
