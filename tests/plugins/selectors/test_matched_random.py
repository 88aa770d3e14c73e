"""Random selections of given response lengths: by hand, against the pick that is copied, and through whole runs."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mads import Mads
from selbench_plugins.selectors.random import Random, copied_lengths

from selbench.api import Budget, Context, Example, ModelRef, Pool, Selection, selector
from selbench.errors import PluginError, UserError


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("matched"), seed=7)


def test_each_pick_is_replaced_by_the_next_of_its_length_in_the_permutation():
    lengths = np.array([5, 9, 5, 5, 9, 2, 5])
    picks, order = np.array([0, 4, 6, 5]), np.array([3, 4, 0, 5, 1, 2, 6])
    # Of length 5 the permutation has 3, 0, 2, 6; of length 9 it has 4, 1; of length 2 only 5, which stands for itself.
    assert copied_lengths(lengths, picks, order).tolist() == [3, 4, 0, 5]


def test_within_a_length_every_example_is_equally_likely():
    lengths, picks = np.array([1, 1, 1, 1, 7, 7]), np.array([0, 1, 4])
    rng, drawn = np.random.default_rng(0), np.zeros(6)
    for _ in range(4000):
        drawn[copied_lengths(lengths, picks, rng.permutation(6))] += 1
    np.testing.assert_allclose(drawn / 4000, [0.5] * 6, atol=0.03)


def select(method, pool, budget, scorer, seed=0):
    context = Context(pool, seed=seed, scorer=scorer, selector=method)
    return method.select(pool, budget, context), context


def long_and_short(count: int = 120) -> Pool:
    """Examples with responses of 1 to 6 words, most of them short."""
    words = ["red", "green", "blue", "river", "stone", "tree"]
    return Pool(Example(f"e{i}", f"say {i}", " ".join(words[: 1 + (i * i) % 11 % 6])) for i in range(count))


@pytest.mark.parametrize("other", [Longest(), Mads(rho=0.2)], ids=lambda method: method.plugin_name)
@pytest.mark.parametrize("unit", ["examples", "tokens"])
def test_the_histogram_of_lengths_is_that_of_the_other_pick(other, unit, scorer):
    pool = long_and_short()
    tokens = np.array([len(example.response.split()) for example in pool])
    budget = Budget.of(pool, 0.3, unit, tokens)
    picked = [select(other, pool, budget, scorer)[0].ids]
    picked += [select(Random(match="length", like=other), pool, budget, scorer, seed)[0].ids for seed in (0, 1)]
    histograms = [np.bincount(tokens[[pool.position(id) for id in ids]]).tolist() for ids in picked]
    assert histograms[0] == histograms[1] == histograms[2]
    assert len({frozenset(ids) for ids in picked}) == 3


def test_a_copy_in_other_tokens_still_fills_the_budget(scorer):
    pool = long_and_short()
    costs = np.arange(1, 121)
    found, context = select(Random(match="length", like=Longest()), pool, Budget.of(pool, 900, "tokens", costs), scorer)
    spent = sum(int(costs[pool.position(id)]) for id in found.ids)
    assert 900 - 120 < spent <= 900 and 0 <= context.logged["shared_with_copied"] <= 1


def test_a_quantile_takes_any_of_the_longest_and_then_the_next_longer(scorer):
    pool = long_and_short()
    lengths = np.array([len(example.response.split()) for example in pool])
    cut = np.quantile(lengths, 0.8, method="inverted_cdf")
    long = int((lengths >= cut).sum())

    def chosen(count, seed=0):
        found = select(Random(match="length", quantile=0.8), pool, Budget.of(pool, count), scorer, seed)[0]
        return [pool.position(id) for id in found.ids]

    assert (lengths[chosen(long)] >= cut).all() and chosen(long // 2) != chosen(long // 2, seed=1)
    assert sorted(lengths[chosen(long + 9)])[:9] == sorted(lengths[lengths < cut])[-9:]
    assert chosen(long + 9)[: long // 2] == chosen(long // 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"like": Longest()}, "set match=length too"),
        ({"match": "length"}, "either like=SELECTOR or quantile=SHARE"),
        ({"match": "length", "like": Longest(), "quantile": 0.5}, "either like=SELECTOR or quantile=SHARE"),
        ({"match": "length", "quantile": 0.5, "balanced": "source"}, "balanced=no"),
        ({"match": "length", "quantile": 1.0}, "no share from 0"),
        ({"match": "length", "like": Random(match="length", quantile=0.5)}, "copies lengths itself"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UserError, match=message):
        Random(**options)


def test_facts_follow_from_what_is_copied():
    assert not Random().uses_scorer and Random().nested
    matched = Random(match="length", like=Mads())
    assert matched.uses_scorer and matched.stochastic and not matched.nested and not matched.targeted
    assert matched.label() == "random like mads"
    assert Random(match="length", like=Mads(layers="all")).label() == "random like mads(layers=all)"
    assert Random(match="length", quantile=0.8).label() == "random(quantile=0.8)"


@selector("asker", nested=True)
class Asker:
    """Asks for the selection of another selector that its key does not hold."""

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return context.selection_of(Longest(unit="characters"), budget)


def test_only_a_selector_that_is_in_the_key_can_be_asked(scorer):
    pool = make_pool(10)
    with pytest.raises(PluginError, match="no value of its options"):
        select(Asker(), pool, Budget.of(pool, 3), scorer)
