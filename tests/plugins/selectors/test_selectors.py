"""The selectors through their public contract."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool
from selbench_plugins.selectors.base import Base
from selbench_plugins.selectors.full import Full
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mads import Mads
from selbench_plugins.selectors.random import Random

from selbench.api import Budget, Context, Example, ModelRef, Pool, UserError
from selbench.features.activations import ActivationTags


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("scorer"))


@pytest.fixture(scope="module")
def store():
    """Features computed once per spec and pool, as in the framework."""
    kept = {}

    def features(spec, pool, context):
        key = (spec, pool.fingerprint)
        if key not in kept:
            kept[key] = spec.compute(pool, context)
        return kept[key]

    return features


def run(method, pool, amount, scorer=None, store=None, seed=0, tokens=None):
    budget = Budget.of(pool, amount, "examples" if tokens is None else "tokens", tokens)
    return method.select(pool, budget, Context(pool, seed=seed, scorer=scorer, feature_store=store))


METHODS = [
    Random(),
    Random(balanced="category"),
    Longest(),
    Longest(unit="characters"),
    KCenter(encoder="tfidf"),
    KCenter(space="hidden", first="medoid"),
    KCenter(encoder="tfidf", text="text", metric="euclidean", first="3"),
    Mads(),
    Mads(objective="set_cover", layers="all", weights="idf"),
    Mads(threshold="top_m", top_m=3, objective="m_cover", capture="ffn_up_abs", max_df=1.0),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_contract(method, scorer, store):
    pool = make_pool(60)
    chosen = {k: run(method, pool, k, scorer, store).ids for k in (1, 9, 30, 60)}
    for k, ids in chosen.items():
        assert len(ids) == len(set(ids)) == k and set(ids) <= set(pool.ids)
        assert ids == chosen[60][:k]  # all of them claim that smaller budgets are prefixes
    assert run(method, pool, 30, scorer, store).ids == chosen[30]
    other = run(method, pool, 30, scorer, store, seed=1).ids
    assert (other != chosen[30]) == method.stochastic


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_budget_in_tokens(method, scorer, store):
    pool = make_pool(60)
    tokens = np.random.default_rng(0).integers(1, 20, 60)
    ids = run(method, pool, 150, scorer, store, tokens=tokens).ids
    full = run(method, pool, 60, scorer, store).ids
    assert ids == full[: len(ids)]
    spent = tokens[[pool.position(i) for i in full]].cumsum()
    assert spent[len(ids) - 1] <= 150 < spent[len(ids)]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_one_example_and_identical_examples(method, scorer):
    if isinstance(method, KCenter) and method.first == "3":
        method = KCenter(encoder="tfidf", first="0")
    assert run(method, Pool([Example("a", "add one", "two")]), 1, scorer).ids == ("a",)
    pool = Pool([Example(f"e{i}", "add one", "two") for i in range(6)])
    assert sorted(run(method, pool, 6, scorer).ids) == sorted(pool.ids)
    assert len(run(method, pool, 2, scorer).ids) == 2


@pytest.mark.parametrize(
    "method",
    [KCenter(encoder="tfidf", first="medoid", text="text"), Mads(weights="idf", layers="all", rho=0.3), Longest()],
    ids=repr,
)
def test_the_order_of_the_pool_does_not_matter(method, scorer):
    # Without duplicates, and lengths that all differ: no ties.
    pool = Pool([Example(f"e{i}", f"{e.instruction} w{i}", "red " * (i + 1)) for i, e in enumerate(make_pool(40))])
    order = np.random.default_rng(0).permutation(40)
    shuffled = Pool(pool[int(i)] for i in order)
    assert set(run(method, pool, 15, scorer).ids) == set(run(method, shuffled, 15, scorer).ids)


def test_full_and_base():
    pool = make_pool(7)
    assert run(Full(), pool, 1).ids == pool.ids and Full.share == 1.0
    assert run(Base(), pool, 1).ids == () and Base.share == 0.0


def test_random_balanced_shares_what_is_left_over():
    sizes = {"a": 40, "b": 10, "c": 2}
    pool = Pool([Example(f"{s}{i}", "x", "y", source=s) for s, n in sizes.items() for i in range(n)])
    for k, expected in ((6, [2, 2, 2]), (22, [10, 10, 2]), (40, [28, 10, 2])):
        ids = run(Random(balanced="source"), pool, k).ids
        assert [sum(i.startswith(s) for i in ids) for s in sizes] == expected
    assert run(Random(balanced="source"), pool, 52, seed=1).ids != run(Random(balanced="source"), pool, 52, seed=2).ids


def test_random_is_uniform():
    pool = make_pool(10)
    counts = np.zeros(10)
    for seed in range(600):
        counts[[pool.position(i) for i in run(Random(), pool, 3, seed=seed).ids]] += 1
    assert (np.abs(counts - 180) < 50).all()


def test_longest_counts_tokens_or_characters(scorer):
    pool = Pool(
        [Example("a", "x", "red red red"), Example("b", "x", "numbers numbers"), Example("c", "x", "red red red")]
    )
    assert run(Longest(), pool, 3, scorer).ids == ("a", "c", "b")
    assert run(Longest(unit="characters"), pool, 3).ids == ("b", "a", "c")


def test_longest_against_the_published_selection(shared_data):
    """The published 1,000 longest of Alpaca by Llama's tokenizer, which is gated; lengths in characters are close."""

    def read(name):
        with gzip.open(shared_data / name) as lines:
            return [json.loads(line) for line in lines]

    rows = read("instruction/alpaca_52k.jsonl.gz")
    published = {str(row["alpaca_id"]) for row in read("selections/longest_1k.jsonl.gz")}
    pool = Pool(Example(str(r["id"]), r["instruction"], r["output"], r["input"]) for r in rows)
    ids = run(Longest(unit="characters"), pool, 1000).ids
    assert len(published & set(ids)) == 858  # with the GPT-NeoX tokenizer 869, GPT-2's 819, stories-260k's 791


def test_kcenter_diagnostics_and_first():
    pool = make_pool(50)
    found = run(KCenter(encoder="tfidf", first="4"), pool, 20)
    assert found.ids[0] == "e4" and found.diagnostics["first"] == "e4"
    assert len(found.diagnostics["radius"]) == 19 and (np.diff(found.diagnostics["radius"]) <= 1e-6).all()
    assert not KCenter(encoder="tfidf", first="4").stochastic and KCenter(encoder="tfidf").stochastic
    with pytest.raises(UserError, match="neither random, medoid nor a position"):
        KCenter(encoder="tfidf", first="center")
    with pytest.raises(UserError, match="outside the 50 points"):
        run(KCenter(encoder="tfidf", first="50"), pool, 2)


def test_mads_chooses_by_the_tags_it_was_given():
    """Five examples with seven tags, small enough to work out every order by hand; the feature is served ready-made."""
    rows = [[1, 2, 3, 4], [3, 4, 5], [5, 6], [1, 6], [7]]
    feature = {
        "indptr": np.cumsum([0, *map(len, rows)]),
        "indices": np.concatenate(rows).astype(np.int32),
        "shape": np.array([5, 8]),
        "layers": np.array([0]),
        "on_share": np.array([14 / 40]),
    }
    asked = []

    def serve(spec, pool, context):
        asked.append(spec)
        return feature

    pool = Pool([Example(str(i), "x", "y") for i in range(5)])
    assert run(Mads(), pool, 5, store=serve).ids == ("0", "1", "2", "3", "4")
    cover = run(Mads(objective="set_cover"), pool, 5, store=serve)
    assert cover.ids == ("0", "2", "4", "1", "3")
    np.testing.assert_allclose(cover.diagnostics["coverage"], [4 / 7, 6 / 7, 1, 1, 1])
    assert cover.diagnostics["rounds"] == 1 and cover.diagnostics["df"]["seen"] == 7
    assert run(Mads(objective="set_cover", weights="idf"), pool, 3, store=serve).ids == ("0", "2", "4")
    # tags 1, 3, 4, 5 and 6 are on in two of five examples; without them only 2 and 7 are left
    assert run(Mads(max_df=0.3), pool, 3, store=serve).ids == ("0", "4", "1")
    assert asked[0] == ActivationTags() == Mads().needs()[0]


def _served_tags(rows: list[list[int]], neurons: int):
    """A feature store that gives these tags, ready-made."""
    feature = {
        "indptr": np.cumsum([0, *map(len, rows)]),
        "indices": np.concatenate(rows).astype(np.int32),
        "shape": np.array([len(rows), neurons]),
        "layers": np.array([0]),
        "on_share": np.array([sum(map(len, rows)) / (len(rows) * neurons)]),
    }
    return lambda spec, pool, context: feature


@pytest.mark.parametrize(("max_df", "kept", "bare"), [(1.0, 2, 1), (0.5, 1, 2)])
def test_mads_says_how_many_examples_have_no_tag_and_how_many_neurons_are_ever_on(caplog, max_df, kept, bare):
    """Of eight neurons six are never on; the third example has no tag, the fourth none that max_df=0.5 keeps."""
    pool = Pool([Example(str(i), "x", "y") for i in range(4)])
    context = Context(pool, feature_store=_served_tags([[1, 2], [1, 2], [], [1]], 8))
    Mads(max_df=max_df).select(pool, Budget.of(pool, 2), context)
    assert context.logged == {"neurons": 8, "neurons_on": 2, "neurons_kept": kept, "untagged_examples": bare}
    assert f"{bare} of 4 examples ({25 * bare} %) carry no tag" in caplog.text and "only 2 of 8 neurons" in caplog.text


def test_mads_warns_of_no_tags_only_where_many_examples_have_none(caplog):
    pool = Pool([Example(str(i), "x", "y") for i in range(4)])
    context = Context(pool, feature_store=_served_tags([[1, 2], [1, 2], [3, 4], [5, 6]], 8))
    Mads().select(pool, Budget.of(pool, 2), context)
    assert context.logged["untagged_examples"] == 0 and not caplog.records


def test_mads_defaults_are_those_of_the_specification():
    assert vars(Mads()) == {
        "capture": "ffn_gate",
        "positions": "prompt",
        "pooling": "mean",
        "threshold": "quantile",
        "rho": 0.01,
        "tau": 1.0,
        "top_m": 20,
        "layers": "middle",
        "response": False,
        "max_df": 0.5,
        "objective": "log",
        "m": 3,
        "weights": "one",
        "gamma": 0.5,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"max_df": 0.0},
        {"rho": 0.0},
        {"positions": "response"},
        {"objective": "cover"},
        {"threshold": "top_m", "top_m": 0},
    ],
)
def test_mads_refuses_bad_options_before_any_work(options):
    with pytest.raises(UserError):
        Mads(**options)


def test_unused_thresholds_do_not_ask_for_other_features():
    assert Mads(tau=3.0, top_m=5).needs() == Mads().needs()
