"""SAE-GreedSelect and SAE-SimScale: hand vectors, independent references, and the public contract."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.golden_pool import golden_pool
from helpers.tiny_models import make_model, make_pool
from selbench_plugins.selectors.sae_greedselect import SaeGreedSelect, greedselect
from selbench_plugins.selectors.sae_simscale import SaeSimScale

from selbench.api import Budget, Context, Example, ModelRef, Pool, UserError
from selbench.features.sae_tags import SaeTags
from selbench.optimize.simscale import threshold_walk

HAND = [{1, 2, 3, 4}, {3, 4, 5}, {5, 6}, {1, 6}, {7}]
SMALL = {"latents": 64, "k": 4, "train_tokens": 12_000}
METHODS = [
    SaeGreedSelect(**SMALL),
    SaeGreedSelect(exhaustion="largest", **SMALL),
    SaeSimScale(**SMALL),
    SaeSimScale(order="response_length", rise=0.05, ratio=0.5, **SMALL),
    SaeSimScale(similarity="pairwise", **SMALL),
]


def csr(rows):
    indptr = np.cumsum([0, *map(len, rows)])
    return indptr, np.array([t for row in rows for t in sorted(row)], np.int32)


def by_size(rows):
    return sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))


def random_rows(seed):
    rng = np.random.default_rng(seed)
    return [set(rng.choice(30, rng.integers(0, 9), replace=False).tolist()) for _ in range(40)]


# ------------------------------------------------------------------------------------------ hand vectors


@pytest.mark.parametrize(("ratio", "limit", "expected"), [(0.8, 5, [0, 1, 2, 4, 3]), (0.3, 3, [0, 2, 4])])
def test_simscale_hand_vector(ratio, limit, expected):
    walked = threshold_walk(*csr(HAND), 8, limit, order=by_size(HAND), ratio=ratio)
    assert walked.order.tolist() == expected


def test_simscale_says_why():
    walked = threshold_walk(*csr(HAND), 8, 5, order=by_size(HAND))
    assert walked.passes.tolist() == [1, 1, 1, 1, 2]
    assert walked.similarity.tolist() == [0, 2 / 3, 1 / 2, 0, 0]


def test_greedselect_hand_vector():
    order, gains, rounds = greedselect(*csr(HAND), 8, 5)
    assert (order.tolist(), gains.tolist(), rounds) == ([0, 2, 4, 1, 3], [4, 2, 1, 3, 2], 1)
    order, gains, rounds = greedselect(*csr(HAND), 8, 5, again=False)
    assert (order.tolist(), gains.tolist(), rounds) == ([0, 2, 4, 1, 3], [4, 2, 1, 0, 0], 0)


# --------------------------------------------------------------------------------- independent references


def plain_greed(rows, again):
    left, covered, order = set(range(len(rows))), set(), []
    while left:
        best = min(left, key=lambda i: (-len(rows[i] - covered), -len(rows[i]), i))
        if not rows[best] - covered:
            if not again or not any(rows[i] for i in left):
                return order + sorted(left, key=lambda i: (-len(rows[i]), i))
            covered = set()
            continue
        order.append(best)
        left.remove(best)
        covered |= rows[best]
    return order


def plain_walk(rows, order, ratio, rise, similarity):
    taken, waiting, bar = [], [i for i in order if rows[i]], ratio
    while waiting:
        mine, rejected = [], []
        for i in waiting:
            if similarity == "union":
                alike = len(rows[i] & set().union(*(rows[j] for j in mine))) / len(rows[i])
            else:
                alike = max((len(rows[i] & rows[j]) / len(rows[i] | rows[j]) for j in mine), default=0)
            (mine if alike < min(bar, 1.0) else rejected).append(i)
        taken, waiting, bar = taken + mine, rejected, bar + rise
    return taken + [i for i in order if not rows[i]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("again", [True, False])
def test_greedselect_is_the_plain_greedy(seed, again):
    rows = random_rows(seed)
    assert greedselect(*csr(rows), 30, 40, again=again)[0].tolist() == plain_greed(rows, again)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("similarity", ["union", "pairwise"])
@pytest.mark.parametrize(("ratio", "rise"), [(0.75, 0.0), (0.3, 0.125), (1.0, 0.0)])
def test_simscale_is_the_plain_walk(seed, similarity, ratio, rise):
    rows = random_rows(seed)
    order = by_size(rows)
    walked = threshold_walk(*csr(rows), 30, 40, order=order, ratio=ratio, rise=rise, similarity=similarity)
    assert walked.order.tolist() == plain_walk(rows, order, ratio, rise, similarity)


@pytest.mark.parametrize("similarity", ["union", "pairwise"])
def test_walk_stops_at_the_first_that_does_not_fit(similarity):
    costs = np.random.default_rng(0).integers(1, 20, 40)
    rows = random_rows(1)
    whole = threshold_walk(*csr(rows), 30, 10**6, order=by_size(rows), similarity=similarity, costs=costs).order
    for limit in (1, 50, 200, int(costs.sum())):
        order = threshold_walk(*csr(rows), 30, limit, order=by_size(rows), similarity=similarity, costs=costs).order
        fits = int(np.searchsorted(np.cumsum(costs[whole]), limit, side="right"))
        assert order.tolist() == whole[:fits].tolist()


@pytest.mark.parametrize("again", [True, False])
def test_greed_stops_at_the_first_that_does_not_fit(again):
    costs = np.random.default_rng(0).integers(1, 20, 40)
    rows = random_rows(1)
    whole = greedselect(*csr(rows), 30, 10**6, costs=costs, again=again)[0]
    assert sorted(whole.tolist()) == list(range(40))
    for limit in (1, 50, 200):
        order, gains, _ = greedselect(*csr(rows), 30, limit, costs=costs, again=again)
        fits = int(np.searchsorted(np.cumsum(costs[whole]), limit, side="right"))
        assert order.tolist() == whole[:fits].tolist() and len(gains) == fits


def test_identical_and_empty_rows_are_all_taken():
    for rows in ([{1, 2}] * 6, [set()] * 6, [set(), {1}, set()]):
        n = len(rows)
        assert sorted(greedselect(*csr(rows), 3, n)[0]) == list(range(n))
        for similarity in ("union", "pairwise"):
            walked = threshold_walk(*csr(rows), 3, n, order=by_size(rows), similarity=similarity)
            assert walked.order.tolist() == by_size(rows)


def test_arrays_of_a_cached_feature_are_read_only():
    arrays = csr(HAND)
    for array in arrays:
        array.flags.writeable = False
    assert threshold_walk(*arrays, 8, 5, order=by_size(HAND)).order.tolist() == [0, 1, 2, 4, 3]
    assert greedselect(*arrays, 8, 5)[0].tolist() == [0, 2, 4, 1, 3]


@pytest.mark.parametrize("options", [{"ratio": 0.0}, {"ratio": 1.2}, {"rise": -1.0}, {"similarity": "cosine"}])
def test_walk_refuses(options):
    with pytest.raises(UserError, match=next(iter(options))):
        threshold_walk(*csr(HAND), 8, 5, order=by_size(HAND), **options)
    with pytest.raises(UserError, match=next(iter(options))):
        SaeSimScale(**options)


# ----------------------------------------------------------------------------------------- the selectors


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("sae"), seed=7)


@pytest.fixture(scope="module")
def store():
    kept = {}

    def features(spec, pool, context):
        key = (spec, pool.fingerprint)
        if key not in kept:
            kept[key] = spec.compute(pool, context)
        return kept[key]

    return features


def run(method, pool, amount, scorer, store=None, tokens=None):
    budget = Budget.of(pool, amount, "examples" if tokens is None else "tokens", tokens)
    return method.select(pool, budget, Context(pool, scorer=scorer, feature_store=store))


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_contract(method, scorer, store):
    pool = make_pool(60)
    chosen = {k: run(method, pool, k, scorer, store) for k in (1, 9, 30, 60)}
    for k, selection in chosen.items():
        assert len(selection.ids) == len(set(selection.ids)) == k and set(selection.ids) <= set(pool.ids)
        assert selection.ids == chosen[60].ids[:k]
        assert len(selection.scores) == k
    assert chosen[9].diagnostics["sae_fvu"] > 0
    tokens = np.random.default_rng(0).integers(1, 9, 60)
    in_tokens = run(method, pool, 40, scorer, store, tokens=tokens).ids
    assert in_tokens == chosen[60].ids[: len(in_tokens)]
    spent = np.cumsum([tokens[pool.position(id)] for id in chosen[60].ids])
    assert len(in_tokens) == np.searchsorted(spent, 40, side="right")


@pytest.mark.parametrize("method", METHODS[::2], ids=repr)
def test_same_again_and_blind_to_the_order_of_the_pool(method, scorer):
    examples = golden_pool()
    distinct = [example for example in examples if not example.id.endswith("5")]  # each fifth equals a fourth
    there = run(method, Pool(distinct), 20, scorer)
    assert run(method, Pool(distinct), 20, scorer).ids == there.ids
    back = run(method, Pool(distinct[::-1]), 20, scorer)
    values = dict(zip(there.ids, there.scores))
    assert values == dict(zip(back.ids, back.scores))  # the features do not change, so only ties can
    if len(set(there.scores)) == len(there.scores):
        assert back.ids == there.ids


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_one_example_and_identical_examples(method, scorer, store):
    one = Pool([Example("only", "say red", "red")])
    assert run(method, one, 1, scorer, store).ids == ("only",)
    same = Pool([Example(f"e{i}", "say red then blue", "red blue") for i in range(7)])
    assert run(method, same, 7, scorer, store).ids == same.ids


GOLDEN = [
    (METHODS[0], "name4 add2 say3 add4 name1 add3 add1 say2"),
    (METHODS[2], "name4 add2 add4 add3 add1 say3 name0 name1"),
]


@pytest.mark.parametrize(("method", "expected"), GOLDEN, ids=[repr(method) for method, _ in GOLDEN])
def test_golden(method, expected, scorer):
    assert " ".join(run(method, golden_pool(), 8, scorer).ids) == expected


def test_autoencoder_and_calibration_sample_are_of_the_seed_unless_sae_seed_pins_them(scorer, monkeypatch):
    monkeypatch.setattr("selbench.features.texts.CALIBRATION", 20)
    pool = make_pool(60)
    small = {**SMALL, "level": 2.0}

    def feature(seed, **options):
        asked = []
        method = SaeGreedSelect(**small, **options)
        store = lambda spec, of, context: asked.append(spec) or spec.compute(of, context)  # noqa: E731
        ids = method.select(
            pool, Budget.of(pool, 9), Context(pool, seed=seed, scorer=scorer, feature_store=store, selector=method)
        ).ids
        assert asked[0] == method.needs(seed if method.stochastic else 0)[0]
        return asked[0], ids

    (one, ids), (two, others) = feature(0), feature(1)
    assert (one.sae.seed, one.sample_seed, two.sae.seed, two.sample_seed) == (0, 0, 1, 1) and ids != others
    (pinned, ids), (same, again) = feature(0, sae_seed=7), feature(1, sae_seed=7)
    assert pinned == same and ids == again and (pinned.sae.seed, pinned.sample_seed) == (7, None)
    assert SaeGreedSelect(**small).drawn_once(pool, {}) == []
    assert SaeGreedSelect(sae_seed=7, **small).drawn_once(pool, {}) == ["autoencoder", "calibration sample of 20 texts"]
    assert SaeGreedSelect(sae_seed=7, threshold="absolute", **small).drawn_once(pool, {}) == ["autoencoder"]
    # With the same autoencoder, the sample alone changes theta.
    theta = {
        float(SaeTags(one.sae, level=2.0, sample_seed=seed).compute(pool, Context(pool, scorer=scorer))["theta"])
        for seed in (None, 0, 1)
    }
    assert len(theta) == 3


def test_both_selectors_of_a_seed_ask_for_the_same_feature():
    assert SaeGreedSelect(**SMALL).needs(3) == SaeSimScale(**SMALL).needs(3) != SaeSimScale(**SMALL).needs(4)


def test_the_key_holds_what_files_say_and_not_where_they_are(tmp_path):
    keys = []
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "{text}"}}\n')
        keys.append(SaeGreedSelect(extra_text=str(tmp_path / f"{name}.jsonl")).identity())
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"positions": "last"}, "option 'positions' of 'sae_greedselect': unknown value 'last'"),
        ({"threshold": "top"}, "option 'threshold' of 'sae_greedselect': unknown value 'top'"),
        ({"threshold": "absolute"}, "needs a level"),
        ({"level": 0.5}, "whole number"),
        ({"k": 0}, "k=0"),
        ({"extra_text": "nowhere.jsonl"}, "no such file"),
        ({"autoencoder": "nowhere"}, "does not exist"),
        ({"autoencoder": "sae_lens:a:b", "k": 3}, "k: for training"),
        ({"exhaustion": "stop"}, "Valid: largest, rounds"),
    ],
)
def test_options_are_checked_before_any_work(options, says):
    with pytest.raises(UserError, match=says):
        SaeGreedSelect(**options)
