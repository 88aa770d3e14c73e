"""Features in shards: merged by row, they have the bits of one pass over the pool."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context, Example, ModelRef, Pool
from selbench.errors import UserError
from selbench.features import embeddings, extractor, forward, texts
from selbench.features.activations import ActivationTags, PooledActivations
from selbench.features.directions import Directions, Projections
from selbench.features.embeddings import HiddenStates, TextEmbeddings
from selbench.features.sae import SparseAutoencoder
from selbench.features.sae_tags import SaeTags
from selbench.features.shards import EXAMPLES, merged_rows, merged_sparse_rows, shard_range
from selbench.models import load_model

POOLS = {
    "with repeats": make_pool(60),
    "one example": make_pool(1),
    "all alike": Pool([Example(f"e{i}", "add the numbers", "one two") for i in range(5)]),
}
AUTOENCODER = SparseAutoencoder(latents=32, k=4, tokens=500, batch=50)


class LoadedEncoder:
    """An encoder whose vectors show which texts it was given together, as the padding of a batch may."""

    def encode(self, given, **options):
        together = float(sum(map(len, given)))
        return np.array([[len(text), together, text.count("e")] for text in given], np.float32)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, scorer):
    model = load_model(scorer)
    monkeypatch.setattr("selbench.models.load_model", lambda ref: model)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 64)
    monkeypatch.setattr(embeddings, "CHUNK", 7)
    monkeypatch.setattr(embeddings, "_load_encoder", lambda encoder: LoadedEncoder())


def specs(pool: Pool, scorer: ModelRef) -> dict:
    directions = Directions(layers="all").compute(pool, Context(pool, scorer=scorer))["directions"]
    return {
        "values": PooledActivations("resid", "all", response=True),
        "half values": PooledActivations("ffn_prod", "0,2", dtype="float16"),
        "quantile": ActivationTags(response=True, level=0.1),
        "top_m": ActivationTags(threshold="top_m", level=3),
        "absolute": ActivationTags(threshold="absolute", level=0.2, layers="all"),
        "projections": Projections(directions[None], response=True),
        "latents per token": SaeTags(AUTOENCODER),
        "latents by quantile": SaeTags(AUTOENCODER, threshold="quantile", level=0.9, sample_seed=3),
        "latents above": SaeTags(AUTOENCODER, threshold="absolute", level=0.5),
        "hidden states": HiddenStates(),
        "encoder": TextEmbeddings("some/encoder"),
        "encoder, plain": TextEmbeddings("some/encoder", normalize=False, text="text"),
    }


def in_shards(spec, pool, of, make_context) -> dict:
    shards = [spec.compute_shard(pool, make_context(), shard, of) for shard in range(of)]
    examples = np.concatenate([shard[EXAMPLES] for shard in shards])
    assert sorted(examples) == [*range(len(pool))]
    return spec.merge_shards([shard for shard in shards if len(shard[EXAMPLES])], pool, make_context())


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), name


@pytest.mark.parametrize("calibration", [6, 1024], ids=["few calibration texts", "all texts calibrate"])
@pytest.mark.parametrize("which", POOLS)
def test_every_feature_has_the_bits_of_one_pass(scorer, monkeypatch, which, calibration):
    monkeypatch.setattr(texts, "CALIBRATION", calibration)
    pool, kept = POOLS[which], {}

    def cached(spec, pool, context):
        if spec not in kept:
            kept[spec] = spec.compute(pool, context)
        return kept[spec]

    def context() -> Context:
        return Context(pool, scorer=scorer, feature_store=cached)

    for spec in specs(pool, scorer).values():
        whole = spec.compute(pool, context())
        for of in (1, 2, 3):  # the small pools have one batch: two shards of three are empty
            assert_same(in_shards(spec, pool, of, context), whole)


def test_what_is_read_is_the_pool_once_and_the_calibration_texts_in_every_shard(scorer, monkeypatch):
    monkeypatch.setattr(texts, "CALIBRATION", 6)
    pool, read_on, sizes = POOLS["with repeats"], forward.read_activations, []

    def counting(model, given, batches, readings):
        for found in read_on(model, given, batches, readings):
            sizes.append(len(found[0]))
            yield found

    monkeypatch.setattr(extractor, "read_activations", counting)
    distinct = len({example.text for example in pool})
    for spec, extra in ((PooledActivations(response=True), 0), (ActivationTags(response=True), 2 * 6)):
        sizes.clear()
        in_shards(spec, pool, 3, lambda: Context(pool, scorer=scorer))
        assert sum(sizes) == distinct + extra
        sizes.clear()
        if extra:  # with all texts for calibration the first shard is the whole pass, and no other one reads
            monkeypatch.setattr(texts, "CALIBRATION", 1024)
            in_shards(spec, pool, 3, lambda: Context(pool, scorer=scorer))
            assert sum(sizes) == distinct


def test_the_flops_of_the_shards_are_those_of_the_whole(scorer):
    pool, spec = POOLS["with repeats"], PooledActivations(response=True)
    contexts = [Context(pool, scorer=scorer) for _ in range(4)]
    spec.compute(pool, contexts[3])
    for shard in range(3):
        spec.compute_shard(pool, contexts[shard], shard, 3)
    assert sum(context.logged["flops"] for context in contexts[:3]) == contexts[3].logged["flops"]


def test_tfidf_is_fitted_on_the_whole_pool_and_not_cut():
    assert not TextEmbeddings().divisible and TextEmbeddings("some/encoder").divisible


def test_an_option_that_no_shard_can_have_is_refused_by_each(scorer):
    pool = POOLS["with repeats"]
    for shard in (0, 1):
        with pytest.raises(UserError, match="names 3 blocks"):
            HiddenStates("all").compute_shard(pool, Context(pool, scorer=scorer), shard, 2)


@pytest.mark.parametrize(("length", "of"), [(10, 3), (2, 5), (0, 2), (7, 1), (9, 9)])
def test_ranges_of_shards_cover_everything_once(length, of):
    ranges = [shard_range(length, shard, of) for shard in range(of)]
    assert [place for each in ranges for place in each] == [*range(length)]
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_a_merge_takes_the_memory_of_the_feature_and_less_than_one_shard(tmp_path):
    """Shards are mapped into memory, so that only what is made anew counts."""
    of, rows, width = 8, 4000, 256
    order = np.random.default_rng(0).permutation(of * rows)
    shards = []
    for shard in range(of):
        examples = np.sort(order[shard * rows : (shard + 1) * rows])
        np.save(tmp_path / f"{shard}.npy", np.repeat(examples[:, None], width, 1).astype(np.float32))
        values = np.load(tmp_path / f"{shard}.npy", mmap_mode="r")
        indptr, indices = np.arange(rows + 1) * 64, np.repeat(examples, 64).astype(np.int32)
        shards.append({EXAMPLES: examples, "values": values, "indptr": indptr, "indices": indices})
    one = rows * width * 4
    tracemalloc.start()
    values = merged_rows(shards, "values")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(values[:, 5], np.arange(of * rows)) and values.nbytes <= peak < values.nbytes + one
    tracemalloc.start()
    indptr, indices = merged_sparse_rows(shards)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(indices, np.repeat(np.arange(of * rows), 64)) and indptr[-1] == len(indices)
    assert peak < indptr.nbytes * 3 + indices.nbytes + rows * 64 * 4
