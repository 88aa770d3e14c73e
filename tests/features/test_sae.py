"""The sparse autoencoder: its recipe, its training, and the tags read with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context, Example, ModelRef, Pool, UserError
from selbench.data.chat import PROMPT, RESPONSE
from selbench.features.sae import SparseAutoencoder, sparsify_learning_rate
from selbench.features.sae_model import Autoencoder, largest_activations, weighted_decoder_rows
from selbench.features.sae_tags import SaeTags, pearson_correlation
from selbench.features.sae_texts import extra_texts
from selbench.features.sae_tokens import TokenStream, resolve_layer, token_counts
from selbench.features.sae_train import (
    Recipe,
    geometric_median,
    initial_autoencoder,
    learning_rate_factor,
    train_autoencoder,
    training_loss,
)
from selbench.features.texts import encode_pool
from selbench.models import load_model, load_tokenizer
from selbench.planted.pool import PlantedPool

PLANTED = Path(__file__).parents[2] / "selbench" / "planted" / "models" / "planted-1m"
SMALL = SparseAutoencoder(layer="1", latents=64, k=4, tokens=12_000)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("sae"))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return make_pool(60)


@pytest.fixture(scope="module")
def trained(pool, scorer):
    return SMALL.compute(pool, Context(pool, scorer=scorer))


def with_this(arrays, pool, scorer) -> Context:
    return Context(pool, scorer=scorer, feature_store=lambda spec, of, context: arrays)


def residuals(pool, scorer, layer, roles=(PROMPT, RESPONSE)):
    """The counted tokens' activations of each example, one text at a time, from output_hidden_states.

    Not for the last block, to whose output transformers applies the final norm.
    """
    tokenizer, model = load_tokenizer(scorer), load_model(scorer)
    texts = encode_pool(pool, tokenizer, max_length=scorer.max_length, response=True, context=Context(pool))
    found = []
    for place in texts.of:
        text = texts.distinct[place]
        with torch.no_grad():
            states = model(torch.from_numpy(text.ids)[None], output_hidden_states=True).hidden_states[layer + 1][0]
        found.append(states[torch.from_numpy(np.isin(text.roles, roles))])
    return found


# ------------------------------------------------------------------------------------------- the recipe


def test_learning_rate_is_the_reported_one():
    assert sparsify_learning_rate(131_072) == pytest.approx(7.071e-5, rel=1e-4)


@pytest.mark.parametrize(
    ("width", "latents", "k", "steps", "size"), [(128, 2048, 32, 200, 1048), (2048, 32768, 64, 13107, 4096)]
)
def test_defaults_grow_with_the_scorer(width, latents, k, steps, size):
    recipe, batch = SparseAutoencoder().recipe(width, 10**9)
    assert (recipe.latents, recipe.k, recipe.steps, batch) == (latents, k, steps, size)
    assert recipe.warmup == min(1000, steps // 10) and recipe.learning_rate == sparsify_learning_rate(latents)


def test_the_papers_settings_can_be_given():
    recipe, batch = SparseAutoencoder(layer="last", latents=131_072, k=128, tokens=10**10).recipe(4096, 10**11)
    assert (recipe.latents, recipe.k, batch, recipe.warmup, recipe.dead_after) == (131_072, 128, 4096, 1000, 10**7)
    assert recipe.learning_rate == pytest.approx(7.071e-5, rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "depth", "block"),
    [("2/3", 28, 18), ("2/3", 4, 2), ("2/3", 1, 0), ("last", 5, 4), ("3", 5, 3), ("1/1", 5, 4)],
)
def test_names_of_a_layer_are_resolved(layer, depth, block):
    assert resolve_layer(layer, depth) == block


@pytest.mark.parametrize("layer", ["all", "5", "4/3", "deep"])
def test_a_layer_that_is_not_one_block_is_reported(layer):
    with pytest.raises(UserError, match="layer"):
        resolve_layer(layer, 5)


def test_schedule_warms_up_and_ends_near_zero():
    factors = [learning_rate_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == 0.1 and factors[9] == 1.0 and factors[99] == pytest.approx(1 / 90)
    assert np.all(np.diff(factors[9:]) <= 0)


# -------------------------------------------------------------------------------------------- the model


def some(seed=0, width=8, latents=24, k=3, tokens=50):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=generator) * 5 + 2
    return x, initial_autoencoder(x, Recipe(latents, k, 1, 1e-3, 0, 0.0, 10), generator, "cpu")


def test_encoding_is_topk_of_relu():
    x, model = some()
    model.b_enc += torch.linspace(-1, 1, 24)
    scaled = x * model.scale
    whole = torch.relu((scaled - model.b_dec) @ model.W_enc.T + model.b_enc)
    values, latents = largest_activations(model.potentials(scaled), 3)
    kept = torch.zeros_like(whole).scatter(1, latents, values)
    wanted = torch.where(whole >= whole.sort(descending=True).values[:, 2:3], whole, 0)
    assert torch.allclose(kept, wanted, atol=1e-5)
    assert torch.allclose(model.reconstruct(x), (kept @ model.W_dec + model.b_dec) / model.scale, atol=1e-4)


def test_the_decoder_starts_as_a_copy_of_the_encoder_and_inputs_are_scaled():
    x, model = some()
    assert torch.allclose(model.W_dec.norm(dim=1), torch.ones(24), atol=1e-5)
    assert torch.allclose(model.W_dec * model.W_enc.norm(dim=1, keepdim=True), model.W_enc, atol=1e-6)
    assert float((x * model.scale).pow(2).sum(1).mean()) == pytest.approx(8, rel=1e-4)
    assert not model.b_enc.any()


def test_geometric_median_ignores_an_outlier():
    points = torch.cat([torch.zeros(9, 2) + torch.tensor([1.0, 2.0]), torch.tensor([[1e6, 1e6]])])
    assert torch.allclose(geometric_median(points), torch.tensor([1.0, 2.0]), atol=1e-2)


def test_gradients_of_the_decoder():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    W_dec = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    latents = torch.stack([torch.randperm(7, generator=generator)[:3] for _ in range(5)])
    assert torch.autograd.gradcheck(lambda v, w: weighted_decoder_rows(v, latents, w), (values, W_dec))


def test_loss_is_fvu_plus_what_dead_latents_leave_of_the_error():
    x, model = some()
    scaled = x * model.scale
    alone, fired = training_loss(model, scaled, torch.zeros(24, dtype=torch.bool), 1 / 32)
    error = scaled - model.reconstruct(x) * model.scale
    variance = (scaled - scaled.mean(0)).pow(2).sum()
    assert float(alone) == pytest.approx(float(error.pow(2).sum() / variance), rel=1e-4)
    dead = torch.zeros(24, dtype=torch.bool)
    dead[[3, 8]] = True  # two dead latents of the d / 2 = 4 that the loss asks for: half the weight
    both, _ = training_loss(model, scaled, dead, 1 / 32)
    rest = error - torch.relu(model.potentials(scaled)[:, dead]) @ model.W_dec[dead]
    assert float(both - alone) == pytest.approx(float(1 / 32 * 2 / 4 * rest.pow(2).sum() / variance), rel=1e-3)
    assert fired.max() < 24


def test_training_recovers_a_dictionary_and_keeps_decoder_rows_at_length_one():
    generator = torch.Generator().manual_seed(1)
    truth = torch.nn.functional.normalize(torch.randn(24, 16, generator=generator), dim=1)

    def batches():
        while True:
            chosen = torch.rand(256, 24, generator=generator).topk(2).indices
            yield torch.zeros(256, 24).scatter(1, chosen, 1 + torch.rand(256, 2, generator=generator)) @ truth

    recipe = Recipe(48, 2, 400, 3e-3, 20, 1 / 32, 5000)
    model, silent = train_autoencoder(batches(), recipe, torch.Generator().manual_seed(0), "cpu", Context())
    assert torch.allclose(model.W_dec.norm(dim=1), torch.ones(48), atol=1e-5)
    nearest = (truth @ model.W_dec.T).max(1).values
    assert float((nearest > 0.9).float().mean()) > 0.9
    assert silent.shape == (48,)


# ------------------------------------------------------------------------------------------- the tokens


def test_streamed_tokens_are_those_of_plain_hidden_states(pool, scorer):
    texts = encode_pool(pool, load_tokenizer(scorer), max_length=48, response=True, context=Context(pool)).distinct
    stream = TokenStream(load_model(scorer), texts, 1, "all", rng=np.random.default_rng(0))
    ours = torch.cat(list(stream.read(np.arange(len(stream.texts)))))
    plain = torch.cat(residuals(Pool({e.content_hash: e for e in pool}.values()), scorer, 1))
    assert len(ours) == stream.available == token_counts(texts, "all").sum()
    assert torch.allclose(ours.sum(0), plain.sum(0), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("capacity", [10**6, 200])
def test_batches_mix_texts_and_reach_every_token(pool, scorer, capacity):
    texts = encode_pool(pool, load_tokenizer(scorer), max_length=48, response=True, context=Context(pool)).distinct

    def stream():
        return TokenStream(load_model(scorer), texts, 1, "all", rng=np.random.default_rng(0))

    batches = stream().batches(32, capacity)
    drawn = [next(batches) for _ in range(6 * stream().available // 32)]
    assert {len(batch) for batch in drawn} == {32}
    seen = np.unique(torch.cat(drawn).numpy().round(3), axis=0)
    there = np.unique(torch.cat(list(stream().read(np.arange(len(stream().texts))))).numpy().round(3), axis=0)
    assert len(seen) >= 0.95 * len(there)
    again = stream().batches(32, capacity)
    assert all(torch.equal(next(again), batch) for batch in drawn)


def test_extra_text_is_read_in_pieces_or_as_a_pool(tmp_path, scorer):
    tokenizer = load_tokenizer(scorer)
    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(json.dumps({"text": "red green blue " * n}) + "\n" for n in (1, 7)))
    found = extra_texts(str(plain), tokenizer, 8, "all")
    assert [len(text.ids) for text in found] == [3, 8, 8, 5]
    assert token_counts(found, "all").tolist() == [2, 7, 7, 4]  # the first token of a piece does not count
    rows = tmp_path / "pool.jsonl"
    rows.write_text(json.dumps({"instruction": "say red", "output": "red", "text": "all of it"}) + "\n")
    assert token_counts(extra_texts(str(rows), tokenizer, 48, "all"), "all").tolist() == [3]
    more = SparseAutoencoder(latents=32, k=2, tokens=2000, extra_text=str(plain))
    assert more != SparseAutoencoder(latents=32, k=2, tokens=2000)
    small = Pool([Example("a", "say red", "red")])
    assert more.compute(small, Context(small, scorer=scorer))["W_enc"].shape == (32, 16)
    plain.write_text('{"text": "red"}\n{"words": "blue"}\n')
    with pytest.raises(UserError, match="every row needs a field"):
        extra_texts(str(plain), tokenizer, 8, "all")


# ------------------------------------------------------------------------------------------ the feature


def test_training_is_deterministic_and_logs_what_it_reached(pool, scorer, trained):
    context = Context(pool, scorer=scorer)
    again = SMALL.compute(pool, context)
    for name, array in trained.items():
        assert np.array_equal(array, again[name]), name
    assert context.logged["sae_fvu"] == trained["fvu"] < 0.6
    assert context.logged["sae_l0"] <= 4 and context.logged["sae_steps"] == 200
    assert 0 <= context.logged["sae_dead_share"] <= 1
    other = SparseAutoencoder(layer="1", latents=64, k=4, tokens=12_000, seed=1).compute(pool, context)
    assert not np.array_equal(other["W_enc"], trained["W_enc"])


def test_training_leaves_global_randomness_alone(pool, scorer):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    SparseAutoencoder(latents=16, k=2, tokens=500).compute(pool, Context(pool, scorer=scorer))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        (SaeTags(SMALL), "per_token"),
        (SaeTags(SMALL, level=3), "per_token"),
        (SaeTags(SMALL, threshold="quantile", level=0.9), "quantile"),
        (SaeTags(SMALL, threshold="absolute", level=2.5, positions="response"), "absolute"),
    ],
)
def test_tags_are_those_of_a_plain_loop(pool, scorer, trained, spec, rule):
    tags = spec.compute(pool, with_this(trained, pool, scorer))
    model, theta = Autoencoder.of(trained), float(tags["theta"])
    roles = (RESPONSE,) if spec.positions == "response" else (PROMPT, RESPONSE)
    tokens = [model.potentials(x * model.scale).relu() / model.scale for x in residuals(pool, scorer, 1, roles)]
    for i, activations in enumerate(tokens):
        largest = activations.amax(0).numpy() if len(activations) else np.zeros(64)
        ours = tags["indices"][tags["indptr"][i] : tags["indptr"][i + 1]]
        assert np.all(np.diff(ours) > 0)
        sure = np.abs(largest - theta) > 1e-3  # batched and single passes differ in the last digits only
        assert np.array_equal(np.isin(np.arange(64), ours)[sure], (largest > theta)[sure])
    distinct = torch.cat(list({e.content_hash: t for e, t in zip(pool, tokens)}.values()))
    on = (distinct > theta).sum(1)
    if rule == "per_token":
        assert int(on.median()) == (spec.level or 1)
    elif rule == "quantile":
        assert float((distinct > theta).sum() / (distinct > 0).sum()) == pytest.approx(0.1, abs=0.03)
    else:
        assert theta == 2.5
    assert tags["text_tokens"].tolist() == [len(t) for t in tokens]
    assert tags["shape"].tolist() == [60, 64] and tags["fvu"] == trained["fvu"]
    assert tags["length_correlation"] == pytest.approx(
        pearson_correlation(np.diff(tags["indptr"]), tags["text_tokens"])
    )


def test_an_example_without_tokens_has_no_tags(scorer, trained):
    pool = Pool([Example("full", "say red", "blue"), Example("bare", "", "")])
    tags = SaeTags(SMALL).compute(pool, with_this(trained, pool, scorer))
    assert np.diff(tags["indptr"])[1] == 0 and tags["text_tokens"][1] == 0
    assert np.diff(tags["indptr"])[0] > 0
    bare = Pool([Example("bare", "", "")])
    assert not len(SaeTags(SMALL).compute(bare, with_this(trained, bare, scorer))["indices"])
    with pytest.raises(UserError, match="no token at positions=all"):
        SMALL.compute(bare, Context(bare, scorer=scorer))


def test_tags_do_not_depend_on_the_order_of_the_pool(pool, scorer):
    def rows(examples):
        there = Pool(examples)
        context = Context(there, scorer=scorer)
        tags = SaeTags(SMALL).compute(there, context)
        return {e.id: tags["indices"][a:b].tolist() for e, a, b in zip(there, tags["indptr"], tags["indptr"][1:])}

    assert rows(list(pool)) == rows(list(pool)[::-1])


def test_as_many_latents_on_as_the_autoencoder_has(pool, scorer):
    tiny = SparseAutoencoder(latents=2, k=1, tokens=500)
    tags = SaeTags(tiny, level=2).compute(pool, Context(pool, scorer=scorer))
    assert tags["shape"].tolist() == [60, 2]
    with pytest.raises(UserError, match="k=3 is more than latents=2"):
        SparseAutoencoder(latents=2, k=3).compute(pool, Context(pool, scorer=scorer))


# ---------------------------------------------------------------------------- quality on a planted model


@pytest.mark.parametrize("tokens", [50_000, pytest.param(None, marks=pytest.mark.slow)])
def test_planted_1m_is_explained_within_two_minutes(tokens):
    if not (PLANTED / "model.safetensors").is_file():
        pytest.skip(f"no model at {PLANTED}")
    pool = PlantedPool(size=2000).load().pool
    context = Context(pool, scorer=ModelRef("planted-1m", str(PLANTED), max_length=512))
    start = time.process_time()
    SparseAutoencoder(tokens=tokens).compute(pool, context)
    seconds = time.process_time() - start
    assert context.logged["sae_fvu"] < 0.3 and context.logged["sae_dead_share"] < 0.2
    assert seconds < 120  # processor time; 60 s of wall time on two cores
