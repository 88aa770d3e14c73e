"""NAIT against a direct computation: directions, scores, merging of capabilities, and what happens at the edges."""

from __future__ import annotations

import dataclasses
import logging
import random
import tracemalloc
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from selbench_plugins.selectors import nait
from selbench_plugins.selectors.nait import Nait

from selbench.api import Budget, Context, Example, Feature, FeatureSpec, ModelRef, Pool, Selection
from selbench.data.chat import Encoded, encode
from selbench.errors import UserError
from selbench.features.activations import PooledActivations
from selbench.features.directions import Directions, Projections, principal_direction
from selbench.features.extractor import compute_many
from selbench.features.texts import Texts
from selbench.models import load_model, load_tokenizer
from selbench.store.keys import digest, spec_identity

CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
WORDS = ["amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "islet", "juniper", "knoll"]
LAYERS, WIDTH = 3, 16


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """A random Llama of 3 blocks whose template starts with a BOS; its tokens are bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", pad_token="<s>")
    fast.add_special_tokens({"bos_token": "<s>"})
    fast.chat_template = CHAT
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=2,
        max_position_embeddings=256,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("scorer")
    model, rng = LlamaForCausalLM(config), np.random.default_rng(0)
    for _, weights in sorted(model.named_parameters()):  # not by torch's own initialisation, which may change
        if weights.ndim > 1:
            weights.data = torch.from_numpy(rng.normal(0, 0.3, weights.shape).astype(np.float32))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return ModelRef("tiny", str(folder), template="chat", dtype="float32", max_length=256)


def make(size: int, seed: int, name: str = "pool") -> Pool:
    rng = random.Random(seed)

    def text(longest: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, longest)))

    return Pool([Example(f"{name}{i}", f"{text(5)} {i}", text(9)) for i in range(size)], name)


POOL, TARGET, OTHER = make(30, 1), make(12, 2, "target"), make(9, 3, "other")


def run(
    scorer: ModelRef,
    pool: Pool = POOL,
    amount: int | float = 10,
    targets: Mapping[str, Pool] | None = None,
    **options: Any,
) -> tuple[Selection, Context]:
    context = Context(pool, scorer=scorer, target=targets or {"t": TARGET})
    return Nait(**{**NOTES, **options}).select(pool, Budget.of(pool, amount), context), context


# ------------------------------------------------------------------------- a direct computation, one text at a time


@cache
def states(path: str, pool: Pool, capture: str) -> list[np.ndarray]:
    """For each example, layers x tokens x width, from plain transformers at batch size 1."""
    import torch

    scorer = ModelRef("tiny", path, dtype="float32", max_length=256)
    model, tokenizer = load_model(scorer, device="cpu"), load_tokenizer(scorer)
    held: dict[int, np.ndarray] = {}
    blocks = model.model.layers
    for layer, block in enumerate(blocks):
        if capture == "ffn_prod":
            block.mlp.down_proj.register_forward_pre_hook(
                lambda _m, i, layer=layer: held.update({layer: i[0][0].numpy()})
            )
        else:  # only the last entry of hidden_states is not the block's own output (it is normed)
            block.register_forward_hook(lambda _m, _i, o, layer=layer: held.update({layer: o[0].numpy()}))
    found = []
    for text in encode(pool, tokenizer, max_length=scorer.max_length):
        with torch.no_grad():
            out = model(input_ids=torch.from_numpy(text.ids)[None], output_hidden_states=True)
        if capture == "resid":
            for layer in range(LAYERS - 1):
                np.testing.assert_array_equal(held[layer], out.hidden_states[layer + 1][0].numpy())
        found.append(np.stack([held[layer] for layer in range(LAYERS)]).astype(np.float64))
    return found


# The literal reading of the notes on the paper, which most tests compute directly.
NOTES = {"centre": True, "score": "dot", "positions": "every"}
READ: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "last_minus_first": lambda a: a[:, -1] - a[:, 0],
    "mean_minus_first": lambda a: a.mean(1) - a[:, 0],
    "last": lambda a: a[:, -1],
    "mean": lambda a: a.mean(1),
}


def directly(
    scorer: ModelRef,
    target: Pool,
    drift: str,
    candidate: str,
    capture: str = "resid",
    *,
    sign: str = "without_first",
    centre: bool = True,
    score: str = "dot",
) -> np.ndarray:
    """N scores of POOL by the definition in docs/methods/nait.md: PCA of the drifts, sign of a mean, sum over layers."""
    signs = np.stack(
        [
            READ[drift.removesuffix("_minus_first") if sign == "without_first" else drift](a)
            for a in states(scorer.path, target, capture)
        ]
    )
    drifts = np.stack([READ[drift](a) for a in states(scorer.path, target, capture)])
    read = np.stack([READ[candidate](a) for a in states(scorer.path, POOL, capture)])
    scores = np.zeros(len(POOL))
    for layer in range(LAYERS):
        mean = drifts[:, layer].mean(0)
        v = np.linalg.svd(drifts[:, layer] - (mean if centre else 0), full_matrices=False)[2][0]
        if signs[:, layer].mean(0) @ v < 0:
            v = -v
        scores += read[:, layer] @ v / (np.linalg.norm(read[:, layer], axis=1) if score == "cosine" else 1)
    return scores


@pytest.mark.parametrize("capture", ["resid", "ffn_prod"])
@pytest.mark.parametrize(
    "drift,candidate",
    [
        ("last_minus_first", "drift"),
        ("last_minus_first", "mean"),
        ("mean_minus_first", "drift"),
        ("mean_minus_first", "last"),
    ],
)
def test_scores_are_those_of_a_direct_computation(scorer: ModelRef, drift: str, candidate: str, capture: str) -> None:
    expected = directly(scorer, TARGET, drift, drift if candidate == "drift" else candidate, capture)
    selection, _ = run(scorer, drift=drift, candidate=candidate, capture=capture, amount=1.0)
    positions = [POOL.position(id) for id in selection.ids]
    assert selection.scores is not None
    np.testing.assert_allclose(selection.scores, expected[positions], rtol=1e-4, atol=1e-4)
    assert positions == np.argsort(-expected, kind="stable").tolist()


@pytest.mark.parametrize("sign", ["drift", "without_first"])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_the_readings_of_sign_centre_and_score(scorer: ModelRef, sign: str, centre: bool, score: str) -> None:
    expected = directly(scorer, TARGET, "last_minus_first", "last_minus_first", sign=sign, centre=centre, score=score)
    selection, _ = run(scorer, amount=1.0, sign=sign, centre=centre, score=score)
    positions = [POOL.position(id) for id in selection.ids]
    assert selection.scores is not None
    np.testing.assert_allclose(selection.scores, expected[positions], rtol=1e-4, atol=1e-4)


def test_a_first_token_that_turns_directions_round_is_told_of(
    scorer: ModelRef, caplog: pytest.LogCaptureFixture
) -> None:
    directions = {}
    for sign in ("drift", "without_first"):
        context = Context(TARGET, scorer=scorer)
        directions[sign] = context.features(Directions(sign=sign))  # type: ignore[arg-type]
    turned = (directions["drift"]["directions"] * directions["without_first"]["directions"]).sum(1) < 0
    for found in directions.values():
        np.testing.assert_array_equal(found["sign_differs"][:, 0], turned)
    assert turned.any()  # else this test shows nothing

    with caplog.at_level(logging.WARNING, "selbench"):
        selection, context = run(scorer)
    assert f"'t': in {turned.sum()} of 3 layers the direction points the other way if the first token" in caplog.text
    assert context.logged["sign_differs_layers"] == turned.sum()
    np.testing.assert_array_equal(selection.diagnostics["sign_differs"][0, :, 0], turned)

    # Without a subtracted first token there is nothing to differ.
    assert not Context(TARGET, scorer=scorer).features(Directions(pooling="last"))["sign_differs"].any()


def test_the_sign_is_of_another_mean_where_one_is_given() -> None:
    rows = np.random.default_rng(4).normal(size=(9, 4)) * [5, 1, 1, 1] + np.array([-40.0, 0, 0, 0])
    moved = rows + np.array([80, 0, 0, 0])
    plain, turned = principal_direction(rows, 1), principal_direction(rows, 1, along=moved, other=rows)
    np.testing.assert_allclose(plain.directions, -turned.directions)
    assert not plain.sign_differs.any()
    assert turned.sign_differs.all()


# --------------------------------------------------------------------------------------------------------- cut texts


def short(scorer: ModelRef, tokens: int) -> ModelRef:
    return dataclasses.replace(scorer, max_length=tokens)


def lengths_of(scorer: ModelRef, pool: Pool) -> np.ndarray:
    return np.array([len(text.ids) for text in encode(pool, load_tokenizer(scorer), max_length=10_000)])


def test_cut_target_examples_are_left_out(scorer: ModelRef, caplog: pytest.LogCaptureFixture) -> None:
    lengths = lengths_of(scorer, TARGET)
    limit = int(np.sort(lengths)[len(lengths) // 2])
    whole = Pool([example for example, length in zip(TARGET, lengths) if length <= limit], "whole")
    assert 3 < len(whole) < len(TARGET)
    with caplog.at_level(logging.WARNING, "selbench"):
        selection, context = run(short(scorer, limit))
    expected, _ = run(short(scorer, limit), targets={"t": whole})
    assert selection.ids == expected.ids
    assert selection.scores is not None and expected.scores is not None
    np.testing.assert_array_equal(selection.scores, expected.scores)
    assert context.logged["cut_targets"] == len(TARGET) - len(whole)
    assert f"target 't': {len(TARGET) - len(whole)} of 12 examples do not fit into the {limit} tokens" in caplog.text


def test_cut_examples_of_the_pool_are_flagged(scorer: ModelRef, caplog: pytest.LogCaptureFixture) -> None:
    lengths = lengths_of(scorer, POOL)
    limit = int(np.sort(lengths)[len(lengths) // 2])
    with caplog.at_level(logging.WARNING, "selbench"):
        selection, context = run(short(scorer, limit), amount=9)
    flagged = [bool(lengths[POOL.position(id)] > limit) for id in selection.ids]
    assert selection.diagnostics["cut"].tolist() == flagged
    assert context.logged["cut_examples"] == (lengths > limit).sum()
    assert context.logged["cut_selected"] == sum(flagged)
    assert f"{(lengths > limit).sum()} of 30 examples" in caplog.text
    assert "length_correlation_uncut" in context.logged
    quiet, context = run(scorer, amount=9)
    assert "cut" not in quiet.diagnostics and context.logged["cut_examples"] == context.logged["cut_targets"] == 0


def test_no_end_is_read_of_a_mean(scorer: ModelRef) -> None:
    limit = int(np.median(lengths_of(scorer, POOL)))
    selection, context = run(short(scorer, limit), drift="mean_minus_first")
    assert "cut" not in selection.diagnostics
    assert not [name for name in context.logged if name.startswith("cut")]


def test_a_target_of_cut_examples_alone_is_refused(scorer: ModelRef) -> None:
    with pytest.raises(UserError, match="target 't': none of its 12 examples fits into the 20 tokens"):
        run(short(scorer, 20))


def test_with_a_constant_first_token_drift_and_last_token_rank_alike(scorer: ModelRef) -> None:
    by_drift, _ = run(scorer, amount=1.0)
    by_last, _ = run(scorer, amount=1.0, candidate="last")
    assert by_drift.ids == by_last.ids
    assert by_drift.scores is not None and by_last.scores is not None
    difference = by_drift.scores - by_last.scores
    np.testing.assert_allclose(difference, difference[0], atol=1e-4)
    assert abs(difference[0]) > 1e-2  # a constant, and not nothing

    # Nor does centring see the constant: the components are the same, up to their sign.
    context = Context(TARGET, scorer=scorer)
    of_drift = context.features(Directions())["directions"]
    of_last = context.features(Directions(pooling="last"))["directions"]
    np.testing.assert_allclose(np.abs((of_drift * of_last).sum(1)), 1, atol=1e-6)


def test_layer_norm_divides_by_each_layers_spread(scorer: ModelRef) -> None:
    plain, _ = run(scorer, amount=1.0)
    unit, _ = run(scorer, amount=1.0, layer_norm="unit")
    context = Context(POOL, scorer=scorer)
    directions = context.features(Directions(), of=TARGET)["directions"]
    layered = context.features(Projections(directions[None]))["projections"][:, :, 0].astype(float)
    expected = (layered / layered.std(0)).sum(1)
    assert unit.scores is not None
    np.testing.assert_allclose(unit.scores, expected[[POOL.position(id) for id in unit.ids]], rtol=1e-9)
    np.testing.assert_allclose(plain.diagnostics["layer_spread"][0], layered.std(0))


# -------------------------------------------------------------------------------------------- principal components


@pytest.mark.parametrize("shape", [(6, 20), (40, 5), (7, 7)])
def test_components_are_those_of_a_singular_value_decomposition(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape) + 0.5
    centred = rows - rows.mean(0)
    _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(vectors[:2] @ rows.mean(0))
    one, two = principal_direction(rows, 1), principal_direction(rows, 2)
    np.testing.assert_allclose(one.directions, signs[0] * vectors[0], atol=1e-10)
    np.testing.assert_allclose(two.directions, signs @ vectors[:2], atol=1e-10)
    assert one.explained == pytest.approx(singular[0] ** 2 / (singular**2).sum())
    cosine = np.abs(vectors[:2] @ rows.mean(0)) / np.linalg.norm(rows.mean(0))
    np.testing.assert_allclose(two.alignment, cosine)
    along = centred @ vectors[0]
    assert one.margin[0] == pytest.approx(abs(vectors[0] @ rows.mean(0)) / (along.std(ddof=1) / len(rows) ** 0.5))


def test_turning_every_drift_round_turns_the_direction_round() -> None:
    rows = np.random.default_rng(1).normal(size=(9, 4)) + np.array([3, 0, 0, 0])
    np.testing.assert_allclose(principal_direction(-rows, 1).directions, -principal_direction(rows, 1).directions)


def test_a_mean_across_the_component_leaves_the_sign_undetermined_but_fixed() -> None:
    rows = np.array([[-2.0, 1.0], [2.0, 1.0]])  # they differ along x only, and their mean is (0, 1)
    found = principal_direction(rows, 1)
    np.testing.assert_allclose(found.directions, [1, 0])
    assert found.alignment[0] == found.margin[0] == 0


@pytest.mark.parametrize("count", [1, 4])
def test_examples_that_do_not_differ_have_the_direction_of_their_drift(count: int) -> None:
    found = principal_direction(np.tile([3.0, 4.0], (count, 1)).astype(np.float32), 1)
    np.testing.assert_allclose(found.directions, [0.6, 0.8])
    assert found.explained == 0
    assert not principal_direction(np.zeros((count, 2)), 1).directions.any()


def test_more_components_than_there_are_add_nothing() -> None:
    rows = np.random.default_rng(2).normal(size=(3, 8))
    np.testing.assert_allclose(principal_direction(rows, 5).directions, principal_direction(rows, 2).directions)


# ----------------------------------------------------------------------------------------------- several capabilities


def quota_by_hand(scores: np.ndarray, k: int) -> set[int]:
    """The top floor(k / C) of each; then the rankings in turns, one rank deeper each time, until there are k."""
    rankings = [sorted(range(scores.shape[1]), key=lambda i, row=row: (-row[i], i)) for row in scores]
    chosen = {i for ranking in rankings for i in ranking[: k // len(scores)]}
    for depth in range(k // len(scores), scores.shape[1]):
        for ranking in rankings:
            if len(chosen) < k:
                chosen.add(ranking[depth])
    return chosen


@pytest.mark.parametrize("alike", [0.0, 0.7, 1.0])
def test_quota_merge_equals_the_brute_force(alike: float) -> None:
    rng = np.random.default_rng(3)
    for capabilities in (2, 3, 5):
        common = rng.integers(0, 40, size=25)  # with ties
        scores = alike * common + (1 - alike) * rng.integers(0, 40, size=(capabilities, 25))
        order, chosen_for = nait.quota_order(scores, np.ones(25, np.int64))
        assert sorted(order) == list(range(25))
        for k in range(1, 26):
            assert set(order[:k]) == quota_by_hand(scores, k)
        if alike == 1:
            assert order.tolist() == np.argsort(-scores[0], kind="stable").tolist()
            assert not chosen_for.any()


def test_quotas_hold_in_tokens_too() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        scores, costs = rng.normal(size=(3, 30)), rng.integers(0, 20, size=30)
        budget = Budget(tuple(map(str, range(30))), costs, int(rng.integers(1, costs.sum())), "tokens")
        taken = set(budget.take(nait.quota_order(scores, costs)[0]).tolist())
        for row in scores:
            ranking = np.argsort(-row, kind="stable")
            share = ranking[np.cumsum(costs[ranking]) <= budget.limit / 3]
            assert taken >= set(share.tolist())


def test_several_capabilities(scorer: ModelRef) -> None:
    targets = {"t": TARGET, "o": OTHER}
    single = {}
    for name, target in targets.items():
        ranked, _ = run(scorer, amount=1.0, targets={name: target})
        assert ranked.scores is not None
        single[name] = np.empty(len(POOL))
        single[name][[POOL.position(id) for id in ranked.ids]] = ranked.scores
    scores = np.stack([single["o"], single["t"]])  # capabilities stand in the order of their names

    merged, context = run(scorer, amount=7, targets=targets)
    assert {POOL.position(id) for id in merged.ids} == quota_by_hand(scores, 7)
    assert merged.diagnostics["targets"] == ["o", "t"]
    assert len(merged.diagnostics["chosen_for"]) == 7
    agreement = merged.diagnostics["direction_cosines"]
    one, other = (Context(target, scorer=scorer).features(Directions())["directions"] for target in (OTHER, TARGET))
    np.testing.assert_allclose(agreement[0, 1], (one * other).sum(1), atol=1e-9)
    np.testing.assert_allclose(np.diagonal(agreement), 1)
    assert {"length_correlation_o", "length_correlation_t"} <= set(context.logged)

    standard = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
    summed, _ = run(scorer, amount=7, targets=targets, merge="zscore")
    assert [POOL.position(id) for id in summed.ids] == np.argsort(-standard.sum(0))[:7].tolist()
    positions = [POOL.position(id) for id in merged.ids]
    assert merged.scores is not None
    np.testing.assert_allclose(merged.scores, standard[merged.diagnostics["chosen_for"], positions], rtol=1e-4)

    swapped, _ = run(scorer, amount=7, targets=dict(reversed(targets.items())))
    assert swapped.ids == merged.ids


@pytest.mark.parametrize("options", [{}, {"merge": "zscore"}])
def test_smaller_budgets_are_prefixes(scorer: ModelRef, options: dict[str, str]) -> None:
    targets = {"t": TARGET, "o": OTHER}
    whole, _ = run(scorer, amount=30, targets=targets, **options)
    for amount in (1, 8, 19):
        assert run(scorer, amount=amount, targets=targets, **options)[0].ids == whole.ids[:amount]


# -------------------------------------------------------------------------------------------------- edges and messages


def test_the_order_of_pool_and_target_does_not_matter(scorer: ModelRef) -> None:
    shuffled = Pool(random.Random(5).sample(list(POOL), len(POOL)))
    target = Pool(random.Random(6).sample(list(TARGET), len(TARGET)))
    assert run(scorer, shuffled, targets={"t": target})[0].ids == run(scorer)[0].ids


@pytest.mark.parametrize("options", [{}, {"layer_norm": "unit"}])
@pytest.mark.parametrize("targets", [{"t": TARGET}, {"t": TARGET, "o": OTHER}])
def test_odd_pools(scorer: ModelRef, targets: dict[str, Pool], options: dict[str, str]) -> None:
    one = Pool(POOL[:1])
    selection, context = run(scorer, one, 1, targets, **options)
    assert selection.ids == one.ids
    assert not [name for name in context.logged if name.startswith("length_correlation")]
    same = Pool([dataclasses.replace(POOL[0], id=f"same{i}") for i in range(9)])
    assert run(scorer, same, 4, targets, **options)[0].ids == same.ids[:4]
    everything, _ = run(scorer, amount=1.0, targets=targets, **options)
    assert sorted(everything.ids) == sorted(POOL.ids)
    assert everything.scores is not None and np.isfinite(everything.scores).all()


def test_one_target_example_gives_the_direction_of_its_drift(
    scorer: ModelRef, caplog: pytest.LogCaptureFixture
) -> None:
    single = Pool(TARGET[:1])
    with caplog.at_level(logging.WARNING, "selbench"):
        selection, _ = run(scorer, amount=1.0, targets={"one": single})
    assert "'one': in 3 of 3 layers the target examples do not differ" in caplog.text
    drift = READ["last_minus_first"](states(scorer.path, single, "resid")[0])
    unit = drift / np.linalg.norm(drift, axis=1, keepdims=True)
    read = np.stack([READ["last_minus_first"](a) for a in states(scorer.path, POOL, "resid")])
    expected = np.argsort(-(read * unit).sum((1, 2)), kind="stable")
    assert [POOL.position(id) for id in selection.ids] == expected.tolist()


class _Told(Context):
    """Hands out given directions instead of reading them from the target."""

    told: Mapping[str, Any] = {}

    def features(self, spec: FeatureSpec, of: Pool | None = None) -> Feature:
        found = super().features(spec, of)
        return {**found, **self.told} if isinstance(spec, Directions) else found


def test_an_undetermined_sign_is_warned_of(scorer: ModelRef, caplog: pytest.LogCaptureFixture) -> None:
    for margin, warned in (([9.0, 1.5, 9.0], True), ([9.0, 2.5, 9.0], False)):
        context = _Told(POOL, scorer=scorer, target={"t": TARGET})
        context.told = {"margin": np.array(margin)[:, None], "alignment": np.array([[0.5], [0.03], [0.5]])}
        caplog.clear()
        with caplog.at_level(logging.WARNING, "selbench"):
            Nait().select(POOL, Budget.of(POOL, 5), context)
        assert ("'t': in 1 of 3 layers the sign of the direction is undetermined" in caplog.text) == warned
        assert context.logged["sign_alignment"] == pytest.approx(0.03)
        assert context.logged["sign_undetermined_layers"] == warned


def test_the_length_correlation_is_logged(scorer: ModelRef) -> None:
    selection, context = run(scorer, amount=1.0)
    texts = encode([POOL[POOL.position(id)] for id in selection.ids], load_tokenizer(scorer), max_length=256)
    lengths = [len(text.ids) for text in texts]
    assert selection.scores is not None
    expected = np.corrcoef(selection.scores, lengths)[0, 1]
    assert context.logged["length_correlation"] == pytest.approx(expected)


def test_without_a_target_it_says_so_in_one_sentence(scorer: ModelRef) -> None:
    with pytest.raises(UserError, match=r"^this method needs target examples: name them with target=\.\.\.$"):
        Nait().select(POOL, Budget.of(POOL, 5), Context(POOL, scorer=scorer))


@pytest.mark.parametrize(
    "options,message",
    [
        ({"samples": 0}, "samples=0"),
        ({"components": 0}, "components=0"),
        ({"drift": "last"}, "Valid: last_minus_first, mean_minus_first"),
        ({"positions": "response", "response": False}, "needs a text with the response"),
    ],
)
def test_wrong_options_stop_before_any_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Nait(**{**NOTES, **options})


def test_the_subset_of_a_target_depends_on_ids_only() -> None:
    chosen = nait.target_subset(TARGET, 5, seed=0)
    assert nait.target_subset(Pool(reversed(TARGET)), 5, seed=0).fingerprint == chosen.fingerprint
    assert nait.target_subset(TARGET, 8, seed=0).ids[:5] == chosen.ids
    assert nait.target_subset(TARGET, 5, seed=1).ids != chosen.ids
    assert len(nait.target_subset(TARGET, 99, seed=0)) == len(TARGET)


# ------------------------------------------------------------------------------------------------- the feature itself


def test_projections_hold_no_activations() -> None:
    """Memory per text is layers x C numbers, however wide the model."""
    import torch

    layers, width, batch = 2, 4096, 16
    spec = Projections(np.ones((3, layers, width), np.float32))
    text = Encoded(np.zeros(1, np.int64), np.zeros(1, np.uint8))

    def peak(count: int) -> int:
        collector = spec.collector(Texts([text] * count, np.arange(count)), layers)
        pooled = {reading: torch.ones(batch, width) for reading in collector.readings}
        tracemalloc.start()
        for start in range(0, count, batch):
            collector.add(np.arange(start, start + batch), pooled)
        result = collector.result()
        assert result["projections"].shape == (count, layers, 3)
        held = [a for a in vars(collector).values() if isinstance(a, np.ndarray) and a is not collector.directions]
        assert all(width not in array.shape for array in held)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(3200) - peak(320) < 2880 * 100  # bytes; the activations would be 2880 x 32,768


def test_projections_are_products_with_the_pooled_activations_and_ride_along(scorer: ModelRef) -> None:
    directions = np.random.default_rng(0).normal(size=(2, LAYERS, WIDTH))
    dense = PooledActivations(positions="every", pooling="mean", response=True)
    context = Context(POOL, scorer=scorer)
    values, projected = compute_many([dense, Projections(directions, pooling="mean")], POOL, context)
    expected = np.einsum("nlw,clw->nlc", values["values"], directions)
    np.testing.assert_allclose(projected["projections"], expected, rtol=1e-4, atol=1e-5)


def test_the_key_of_projections_holds_the_directions() -> None:
    ones = np.ones((1, 2, 4))
    keys = {digest(spec_identity(Projections(d))) for d in (ones, 2 * ones, ones[:, :1], ones.astype(np.float32))}
    assert len(keys) == 4
    assert Projections(ones) == Projections(ones.copy()) != Projections(2 * ones)
    assert digest(spec_identity(Projections(ones))) == digest(spec_identity(Projections(ones.copy())))


def test_golden_selection(scorer: ModelRef) -> None:
    """What it chose when this was written; a change here is a change of the method."""
    targets = {"t": TARGET, "o": OTHER}
    selection, _ = run(scorer, amount=6, sign="drift")
    assert selection.ids == ("pool14", "pool17", "pool9", "pool12", "pool1", "pool25")
    several, _ = run(scorer, amount=6, targets=targets, layer_norm="unit", sign="drift")
    assert several.ids == ("pool9", "pool14", "pool12", "pool1", "pool11", "pool25")

    default, _ = run(scorer, amount=6)
    assert default.ids == ("pool3", "pool23", "pool28", "pool16", "pool22", "pool5")
    several, _ = run(scorer, amount=6, targets=targets, layer_norm="unit")
    assert several.ids == ("pool9", "pool3", "pool14", "pool23", "pool12", "pool16")
