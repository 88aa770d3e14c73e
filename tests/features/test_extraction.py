"""The shared forward pass, compared with the naive way: one text at a time, all hidden states, hooks attached by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.tiny_models import FAMILIES, make_model, make_pool, make_tokenizer

from selbench.api import Context, Example, ModelRef, Pool
from selbench.data.chat import PROMPT, RESPONSE, encode
from selbench.errors import UserError
from selbench.features import extractor
from selbench.features.activations import ActivationTags, PooledActivations, is_among_largest, threshold_for_share
from selbench.features.architectures import ARCHITECTURES
from selbench.features.embeddings import HiddenStates
from selbench.features.extractor import compute_many
from selbench.features.layers import resolve_layers
from selbench.models import fingerprint
from selbench.placement import require_device_map

CAPTURES = ("ffn_gate", "ffn_prod", "ffn_up_abs", "resid")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("llama"))


def naive(ref, pool, response):
    """For each example its roles (T) and {capture: layers x T x width}, from passes over one text with plain hooks."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ref.path, dtype=torch.float32, attn_implementation="eager").eval()
    entry = ARCHITECTURES[model.config.model_type]
    blocks = model.base_model.get_submodule(entry.blocks)
    caught: dict[str, list] = {}

    def keep(name):
        return lambda _m, inputs, output=None: caught[name].append(inputs[0] if output is None else output)

    for block in blocks:
        block.get_submodule(entry.gate).register_forward_hook(keep("ffn_gate"))
        block.get_submodule(entry.up).register_forward_hook(keep("up"))
        block.get_submodule(entry.down).register_forward_pre_hook(keep("ffn_prod"))
        block.register_forward_hook(keep("block"))
    for text in encode(pool, make_tokenizer(), max_length=ref.max_length, response=response):
        caught = {name: [] for name in ("ffn_gate", "up", "ffn_prod", "block")}
        with torch.no_grad():
            out = model(torch.tensor(text.ids)[None], output_hidden_states=True)
        last = caught["block"][-1]
        last = last if torch.is_tensor(last) else last[0]
        # The entries of hidden_states are block outputs, except the last, to which the final norm was applied.
        resid = [*out.hidden_states[1:-1], last]
        assert not torch.allclose(out.hidden_states[-1], last)
        values = {"ffn_gate": caught["ffn_gate"], "ffn_prod": caught["ffn_prod"], "resid": resid}
        values["ffn_up_abs"] = [up.abs() for up in caught["up"]]
        yield text.roles, {name: torch.cat(list(v)).numpy() for name, v in values.items()}


def pooled(values, roles, positions, pooling):
    """Pool layers x T x width to layers x width by the definition of every position and pooling."""
    keep = {
        "prompt": [i for i, r in enumerate(roles) if r == PROMPT],
        "response": [i for i, r in enumerate(roles) if r == RESPONSE],
        "all": [i for i, r in enumerate(roles) if r in (PROMPT, RESPONSE)],
        "last": [len(roles) - 1],
        "every": list(range(len(roles))),
    }[positions]
    part = values[:, keep].astype(np.float64)
    return {
        "mean": part.mean(1),
        "max": part.max(1),
        "last": part[:, -1],
        "last_minus_first": part[:, -1] - part[:, 0],
        "mean_minus_first": part.mean(1) - part[:, 0],
    }[pooling]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_capture_point_against_plain_hooks(family, tmp_path, monkeypatch):
    # transformers loads a qwen2 model with its own tokenizer class, whatever the folder says.
    monkeypatch.setattr("selbench.models.load_tokenizer", lambda ref: make_tokenizer())
    ref, pool = make_model(tmp_path, family), make_pool(14)
    specs = [PooledActivations(capture, "all", "all", "mean", response=True) for capture in CAPTURES]
    found = compute_many(specs, pool, Context(pool, scorer=ref))
    for row, (roles, values) in enumerate(naive(ref, pool, response=True)):
        for capture, feature in zip(CAPTURES, found):
            expected = pooled(values[capture], roles, "all", "mean")
            np.testing.assert_allclose(feature["values"][row], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("positions", ["prompt", "response", "all", "last", "every"])
def test_every_position_and_pooling_against_plain_hooks(positions, scorer):
    pool = make_pool(12, seed=1)
    poolings = ("mean", "max", "last", "last_minus_first", "mean_minus_first")
    specs = [PooledActivations("resid", "0,2", positions, pooling, response=True) for pooling in poolings]
    found = compute_many(specs, pool, Context(pool, scorer=scorer))
    for row, (roles, values) in enumerate(naive(scorer, pool, response=True)):
        for pooling, feature in zip(poolings, found):
            expected = pooled(values["resid"][[0, 2]], roles, positions, pooling)
            np.testing.assert_allclose(feature["values"][row], expected, rtol=1e-4, atol=1e-4)


# The blocks of a model on the CPU, and some of them on disk: then accelerate's hooks bring weights and inputs together.
MAPS = [
    "auto",
    "sequential",
    {"": "cpu"},
    {
        "model.embed_tokens": "cpu",
        "model.layers.0": "disk",
        "model.layers.1": "cpu",
        "model.layers.2": "disk",
        "model.norm": "cpu",
        "model.rotary_emb": "cpu",
        "lm_head": "cpu",
    },
    {"model": "disk", "lm_head": "disk"},
]


@pytest.mark.parametrize("device_map", MAPS, ids=["auto", "sequential", "cpu", "split", "disk"])
def test_a_scorer_that_is_spread_gives_the_same_bits(scorer, device_map):
    pool = make_pool(30, seed=1)
    specs = [PooledActivations(capture, "all") for capture in CAPTURES] + [ActivationTags(layers="all", level=0.05)]
    plain = compute_many(specs, pool, Context(pool, scorer=scorer))
    context = Context(pool, scorer=replace(scorer, device_map=device_map))
    for one, other in zip(plain, compute_many(specs, pool, context)):
        assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    assert context.logged["flops"] > 0


def test_where_a_scorer_is_spread_is_in_no_key_and_a_wrong_word_is_refused(scorer):
    assert fingerprint(replace(scorer, device_map="auto")) == fingerprint(scorer)
    for wrong in ("everywhere", {}, {"model": None}, ["cpu"]):
        with pytest.raises(UserError, match=r"unknown device_map .* Valid: null, auto, balanced"):
            require_device_map(replace(scorer, device_map=wrong))


def test_batch_composition_changes_values_only_by_rounding(scorer, monkeypatch):
    pool = make_pool(60, seed=2)
    specs = [PooledActivations("ffn_gate", "all"), ActivationTags(layers="all", level=0.05)]
    batched = compute_many(specs, pool, Context(pool, scorer=scorer))
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 1)
    single = compute_many(specs, pool, Context(pool, scorer=scorer))
    scale = np.abs(single[0]["values"]).max()
    assert np.abs(batched[0]["values"] - single[0]["values"]).max() <= 1e-6 * scale  # measured: 2e-7
    # Rounding this small changes no tag of this pool.
    assert np.array_equal(batched[1]["indptr"], single[1]["indptr"])
    assert np.array_equal(batched[1]["indices"], single[1]["indices"])


def test_together_or_alone_and_in_any_order_the_bits_are_the_same(scorer, monkeypatch):
    monkeypatch.setattr("selbench.features.texts.CALIBRATION", 20)
    pool = make_pool(50, seed=3)
    specs = [ActivationTags(level=0.05), PooledActivations("ffn_prod"), HiddenStates(), ActivationTags(response=True)]
    together = [*compute_many([specs[0], specs[1], specs[3]], pool, Context(pool, scorer=scorer))]
    alone = [spec.compute(pool, Context(pool, scorer=scorer)) for spec in (specs[0], specs[1], specs[3])]
    for first, second in zip(together, alone):
        assert all(np.array_equal(first[name], second[name]) for name in first)
    order = np.random.default_rng(0).permutation(len(pool))
    shuffled = Pool(pool[int(i)] for i in order)
    values = specs[1].compute(shuffled, Context(shuffled, scorer=scorer))["values"]
    assert np.array_equal(values, together[1]["values"][order])
    tags = specs[0].compute(shuffled, Context(shuffled, scorer=scorer))
    assert np.array_equal(tags["thresholds"], together[0]["thresholds"])
    assert [row.tolist() for row in rows_of(tags)] == [rows_of(together[0])[i].tolist() for i in order]


def rows_of(tags):
    return np.split(tags["indices"], tags["indptr"][1:-1])


def test_identical_examples_have_identical_features(scorer):
    pool = Pool([Example(f"e{i}", "name a river", "red " * (i % 2 + 1)) for i in range(9)])
    values = PooledActivations().compute(pool, Context(pool, scorer=scorer))["values"]
    assert (values == values[0]).all()
    longer = PooledActivations(positions="all", response=True).compute(pool, Context(pool, scorer=scorer))["values"]
    assert (longer[0] == longer[2]).all() and not (longer[0] == longer[1]).all()


def test_quantile_tags_are_the_given_share_of_entries(scorer):
    pool = make_pool(40, seed=4)
    context = Context(pool, scorer=scorer)
    values = PooledActivations("ffn_gate", "all").compute(pool, context)["values"]
    tags = ActivationTags("ffn_gate", "all", level=0.1).compute(pool, context)
    distinct = np.unique(values, axis=0)
    for layer, threshold in enumerate(tags["thresholds"]):
        assert (distinct[:, layer] > threshold).sum() == int(0.1 * distinct[:, layer].size)
    dense = values > tags["thresholds"][None, :, None]
    assert tags["shape"].tolist() == [40, 3 * 40]
    assert [np.flatnonzero(row).tolist() for row in dense.reshape(40, -1)] == [row.tolist() for row in rows_of(tags)]
    np.testing.assert_allclose(tags["on_share"], dense.mean((0, 2)))


def test_absolute_and_top_m_tags(scorer):
    pool = make_pool(20, seed=5)
    context = Context(pool, scorer=scorer)
    values = PooledActivations("ffn_prod", "0,1").compute(pool, context)["values"]
    absolute = ActivationTags("ffn_prod", "0,1", threshold="absolute", level=0.2).compute(pool, context)
    expected = (np.abs(values) > 0.2).reshape(20, -1)
    assert [np.flatnonzero(row).tolist() for row in expected] == [row.tolist() for row in rows_of(absolute)]
    top = ActivationTags("ffn_prod", "0,1", threshold="top_m", level=5).compute(pool, context)
    best = np.argsort(-np.abs(values), axis=2, kind="stable")[:, :, :5]
    assert [sorted([*best[i, 0], *(best[i, 1] + 40)]) for i in range(20)] == [row.tolist() for row in rows_of(top)]


def test_ties_among_the_largest_go_to_the_lower_place():
    assert is_among_largest(np.array([[0.0, 2, 0, 0, 3]]), 3).tolist() == [[True, True, False, False, True]]
    assert is_among_largest(np.zeros((1, 2)), 5).all()


def test_the_threshold_for_a_share_lies_between_two_values():
    assert threshold_for_share(np.arange(10, dtype=np.float32), 0.2) == 7.5
    assert threshold_for_share(np.arange(10, dtype=np.float32), 0.01) == 9  # less than one value: none may exceed it
    assert threshold_for_share(np.ones(10, np.float32), 0.5) == 1


def test_a_text_without_the_wanted_tokens_falls_back_on_the_end_of_its_prompt(scorer):
    pool = Pool([Example("a", "name a river", ""), Example("b", "", "red"), Example("c", "say one", "two")])
    context = Context(pool, scorer=scorer)
    values = PooledActivations("resid", "1", "response", response=True).compute(pool, context)["values"]
    assert np.isfinite(values).all()
    roles, plain = next(iter(naive(scorer, Pool(pool[:1]), response=True)))
    end_of_prompt = int(np.flatnonzero(roles >= RESPONSE)[0]) - 1
    np.testing.assert_allclose(values[0, 0], plain["resid"][1, end_of_prompt], rtol=1e-4, atol=1e-5)


def test_long_texts_are_cut_at_the_scorers_limit(scorer):
    pool = Pool([Example("a", "red " * 500, "two")])
    values = HiddenStates(layer="1").compute(pool, Context(pool, scorer=scorer))["values"]
    assert values.shape == (1, 16) and np.isfinite(values).all()


def test_float16_is_used_for_storage_only(scorer):
    pool = make_pool(8)
    context = Context(pool, scorer=scorer)
    half = PooledActivations(dtype="float16").compute(pool, context)["values"]
    full = PooledActivations().compute(pool, context)["values"]
    assert half.dtype == np.float16 and np.array_equal(half, full.astype(np.float16))


@pytest.mark.parametrize(
    ("layers", "depth", "expected"),
    [
        ("middle", 28, [14]),
        ("middle", 1, [0]),
        ("all", 3, [0, 1, 2]),
        ("last", 3, [2]),
        ("stride:10", 28, [0, 10, 20]),
        ("middle_third", 6, [2, 3]),
        ("middle_third", 1, [0]),
        ("8,1,-1", 28, [1, 8, 27]),
    ],
)
def test_names_of_layers_are_resolved(layers, depth, expected):
    assert resolve_layers(layers, depth) == expected


@pytest.mark.parametrize("layers", ["midle", "", "1,x", "stride:", "3", "1,-4"])
def test_unknown_layers_are_reported(layers):
    with pytest.raises(UserError, match="layers="):
        resolve_layers(layers, 3)


def test_a_stride_of_zero_is_reported():
    with pytest.raises(UserError, match="stride"):
        resolve_layers("stride:0", 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capture": "ffn_gates"}, "Did you mean 'ffn_gate'"),
        ({"positions": "promt"}, "Valid: all, every, last, prompt, response"),
        ({"pooling": "sum"}, "pooling 'sum'"),
        ({"positions": "response"}, "set response to true"),
        ({"threshold": "top"}, "top_m"),
        ({"level": 1.0}, "not a share of cells"),
        ({"threshold": "top_m", "level": 0.5}, "not a number of neurons"),
    ],
)
def test_options_of_tags_are_checked_before_any_work(options, message):
    with pytest.raises(UserError, match=message):
        ActivationTags(**options)


def test_tags_of_a_real_model(shared_data):
    folder = shared_data / "models" / "stories-260k"
    if not folder.is_dir():
        pytest.skip(f"no model at {folder}")
    ref, pool = ModelRef("stories-260k", str(folder), max_length=256), make_pool(30)
    tags = ActivationTags(layers="all", level=0.02).compute(pool, Context(pool, scorer=ref))
    assert tags["shape"].tolist() == [30, 5 * 172]
    assert (np.abs(tags["on_share"] - 0.02) < 0.01).all()
