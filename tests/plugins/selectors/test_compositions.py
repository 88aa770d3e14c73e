"""`chain`, `mix`, `union`, `intersection`, `stratified`: worked out by hand on a pool of ten, and what they follow from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from selbench_plugins.selectors._composition import in_proportion, in_turn
from selbench_plugins.selectors.base import Base
from selbench_plugins.selectors.chain import Chain
from selbench_plugins.selectors.intersection import Intersection
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mix import Mix
from selbench_plugins.selectors.nait import Nait
from selbench_plugins.selectors.random import Random
from selbench_plugins.selectors.stratified import Stratified, quotas_of
from selbench_plugins.selectors.union import Union

from selbench.api import Budget, Context, Example, NotApplicable, PluginError, Pool, Selection, UserError, selector
from selbench.declare import features_with_inner
from selbench.held import Part
from selbench.store.keys import digest, plugin_identity

# Example i has i + 1 characters; its id is the digit. Sources: a has 0 to 5, b has 6 to 8, c has 9.
POOL = Pool([Example(str(i), f"ask {i}", "x" * (i + 1), source="aaaaaabbbc"[i]) for i in range(10)], "ten")
LONGEST = Longest(unit="characters")


@selector("toy_modulo", uses_scorer=False, nested=True)
class Modulo:
    """Ids by their remainder, the smallest first: 0 3 6 9 1 4 7 2 5 8 for 3."""

    by: int = 3

    def select(self, pool, budget, context):
        return Selection.ordered(sorted(range(len(pool)), key=lambda i: (int(pool[i].id) % self.by, i)), budget)


@selector("toy_even", uses_scorer=False, may_stop_short=True)
class Even:
    """The examples with an even id; none of a pool without any."""

    def select(self, pool, budget, context):
        return Selection.ordered([i for i, example in enumerate(pool) if int(example.id) % 2 == 0], budget)


def chosen(method, amount=4, pool=POOL, unit="examples", tokens=None, **context) -> str:
    budget = Budget.of(pool, amount, unit, tokens)
    return "".join(method.select(pool, budget, Context(pool, selector=method, **context)).ids)


def test_a_chain_selects_from_what_the_step_before_has_kept():
    # The six longest are 4..9, in the pool's order; by remainder of 3: 6 9 4 7 5 8.
    assert chosen(Chain([Part(LONGEST, 0.6), Part(Modulo())])) == "6947"
    assert chosen(Chain([Part(LONGEST, 6), Part(Modulo())])) == "6947"
    # Of 4..9 those with remainders 0, 1 first: 6 9 4 7; of these the longest.
    assert chosen(Chain([Part(LONGEST, 6), Part(Modulo(), 4), Part(LONGEST)]), 3) == "976"
    assert chosen(Chain([LONGEST])) == "9876"
    # What a filter finds is all passed on: 0 2 4 6 8.
    assert chosen(Chain([Part(Even()), Part(LONGEST)]), 3) == "864"


def test_a_chain_may_stand_in_a_chain():
    # 2..9 are kept; of these the inner chain keeps 2 4 6 8, and the two longest of them; the last step orders them.
    inner = Chain([Part(Even()), Part(LONGEST)])
    assert chosen(Chain([Part(LONGEST, 8), Part(inner, 2), Part(Modulo())]), 2) == "68"
    assert chosen(Chain([Part(inner, 3), Part(Modulo(5))]), 3) == "684"


def test_the_same_selector_twice():
    assert chosen(Chain([Part(LONGEST, 0.5), Part(LONGEST)]), 2) == "98"
    assert chosen(Mix([Part(LONGEST), Part(LONGEST)])) == "9786"  # 9 8, then 7 6, in proportion
    assert sorted(chosen(Union([LONGEST, LONGEST]))) == list("6789")
    assert chosen(Intersection([LONGEST, LONGEST])) == "9876"


def test_a_mix_gives_shares_without_repeats():
    # 3 longest: 9 8 7. By remainder 0 3 6 9 ...: 9 is taken, the share of one is 0.
    assert set(chosen(Mix([Part(LONGEST, 0.75), Part(Modulo())]))) == set("9870")
    # The three of the second: 0 3 6, though 9 is ahead of 1.
    assert set(chosen(Mix([Part(LONGEST, 0.25), Part(Modulo(), 0.75)]))) == set("9036")
    # Shares of 0.4 of 5 are 2 and 2 examples; the fifth goes to the first part in turn: 7.
    assert set(chosen(Mix([Part(LONGEST, 0.4), Part(Modulo(), 0.4)]), 5)) == set("98" + "03" + "7")
    # Shares need not sum to 1: 9, 0, then in turn 8, 3.
    assert set(chosen(Mix([Part(LONGEST, 0.25), Part(Modulo(), 0.25)]))) == set("9083")
    assert chosen(Mix([Part(LONGEST, 1)])) == "9876"


def test_a_mix_asks_again_where_a_selection_had_too_few_others():
    class Unranked(Modulo):  # one that is no ranking: it gives what it is asked for
        nested = False
        asked: ClassVar[list[int]] = []

        def select(self, pool, budget, context):
            self.asked.append(budget.limit)
            return super().select(pool, budget, context)

    one, other = Unranked(), Unranked()
    assert sorted(chosen(Mix([Part(one), Part(other)]))) == list("0369")
    assert Unranked.asked == [2, 2, 4, 4]


def test_a_union_takes_turns_and_an_intersection_keeps_the_order_of_the_first():
    # 9 8 7 6 ... and 0 3 6 9 1 ...
    assert chosen(Union([LONGEST, Modulo()])) == "9083"
    assert chosen(Union([Part(LONGEST, 2), Part(Modulo(), 0.3)]), 10) == "90836"
    assert chosen(Intersection([Part(LONGEST, 0.5), Part(Modulo(), 0.4)])) == "96"
    assert chosen(Intersection([Part(Modulo(), 4), Part(LONGEST, 5)])) == "69"
    assert chosen(Intersection([LONGEST, Modulo()]), 4) == "96"


def test_strata_have_quotas():
    # 6, 3 and 1 examples; of 5 exactly 3, 1.5 and 0.5: the larger group has the odd one.
    assert sorted(chosen(Stratified(LONGEST), 5)) == list("34578")
    assert sorted(chosen(Stratified(LONGEST, quotas="equal"), 6)) == sorted("54" + "87" + "9" + "3")
    assert chosen(Stratified(Chain([Part(LONGEST, 0.5), Part(Modulo())])), 4, Pool(POOL[:6])) == "345"
    with pytest.raises(NotApplicable):
        chosen(Stratified(Even()), 1, Pool([POOL[1]]))


@pytest.mark.parametrize(
    ("sizes", "limit", "how", "expected"),
    [
        ([6, 3, 1], 5, "proportional", [3, 2, 0]),
        ([6, 3, 1], 10, "proportional", [6, 3, 1]),
        ([5, 5], 1, "proportional", [1, 0]),
        ([6, 3, 1], 6, "equal", [3, 2, 1]),
        ([1, 1, 8], 9, "equal", [1, 1, 7]),
        ([2, 9, 9], 13, "equal", [2, 6, 5]),
        ([4, 4, 4], 2, "equal", [1, 1, 0]),
        ([10**17, 10**17 + 1], 10**17, "proportional", [50000000000000000, 50000000000000000]),
    ],
)
def test_quotas(sizes, limit, how, expected):
    found = quotas_of(sizes, limit, how)
    assert found == expected and sum(found) == limit


def test_quotas_fill_the_limit_whatever_the_sizes():
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = rng.integers(1, 40, rng.integers(1, 7)).tolist()
        limit = int(rng.integers(1, sum(sizes) + 1))
        for how in ("equal", "proportional"):
            found = quotas_of(sizes, limit, how)
            assert sum(found) == limit and all(0 <= n <= size for n, size in zip(found, sizes))


def test_orders_by_hand():
    assert in_turn([[9, 8, 7], [9, 0], []]) == [9, 0, 8, 7]
    assert in_proportion([[1, 2, 3, 4], [5, 6]]) == [1, 5, 2, 3, 6, 4]  # at 1/8 3/8 5/8 7/8 and 1/4 3/4


TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


@pytest.mark.parametrize("limit", [9, 13, 20, 30, 39])
@pytest.mark.parametrize(
    "method",
    [
        Mix([Part(LONGEST, 0.5), Part(Modulo())]),
        Union([LONGEST, Modulo()]),
        Stratified(LONGEST),
        Stratified(LONGEST, quotas="equal"),
        Chain([Part(Modulo(), 1.0), Part(LONGEST)]),
    ],
    ids=lambda method: method.label(),
)
def test_a_budget_in_tokens_is_filled_up_to_one_example(method, limit):
    ids = chosen(method, limit, unit="tokens", tokens=TOKENS)
    spent = sum(TOKENS[int(id)] for id in ids)
    assert len(set(ids)) == len(ids) and limit - max(TOKENS) < spent <= limit


def test_facts_follow_from_the_parts():
    def facts(method):
        return (method.stochastic, method.targeted, method.uses_scorer, method.nested, method.may_stop_short)

    assert facts(Chain([Part(LONGEST, 0.5), Part(Random())])) == (True, False, False, True, True)
    assert facts(Chain([LONGEST])) == (False, False, False, True, False)
    assert facts(Chain([Part(Nait(), 0.5), Part(KCenter())])) == (True, True, True, KCenter().nested, True)
    assert facts(Chain([Even()])) == (False, False, False, False, True)
    assert facts(Mix([LONGEST, Even()])) == (False, False, False, False, False)
    assert facts(Union([LONGEST, Even()])) == (False, False, False, False, False)
    assert facts(Union([Part(Even(), 0.5), Part(LONGEST, 0.5)])) == (False, False, False, True, True)
    assert facts(Intersection([LONGEST, LONGEST])) == (False, False, False, False, True)
    assert facts(Stratified(Random())) == (True, False, False, False, False)


def test_labels_and_keys_tell_parts_apart():
    methods = [
        Chain([Part(LONGEST, 0.5), Part(Modulo())]),
        Chain([Part(Modulo(), 0.5), Part(LONGEST)]),
        Chain([Part(LONGEST, 0.4), Part(Modulo())]),
        Chain([Part(LONGEST, 0.5), Part(Modulo(by=2))]),
        Chain([Part(Chain([Part(LONGEST, 0.5), Part(Modulo())]), 0.5), Part(Modulo())]),
    ]
    assert len({method.label() for method in methods}) == len({digest(plugin_identity(m)) for m in methods}) == 5
    assert methods[0].label() == "chain(longest(unit=characters) keep=0.5 → toy_modulo)"
    assert digest(plugin_identity(methods[0])) == digest(
        plugin_identity(Chain([Part(Longest(unit="characters"), 0.5), Part(Modulo())]))
    )


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (Chain(), "has no parts: set selector.chain.steps="),
        (Mix(), "has no parts: set selector.mix.of="),
        (Stratified(), "has no parts"),
        (Chain([LONGEST, Modulo()]), "step 1 (longest(unit=characters)) of selector"),
        (Chain([Part(LONGEST, 0.5)]), "is the last step, which fills the budget: leave its keep out"),
        (Chain([Part(LONGEST, 1.5), Modulo()]), "is not a share above 0 and at most 1.0"),
        (Chain([Part(LONGEST, 0), Modulo()]), "is no number of examples"),
        (Chain([Part(Base(), 0.5), Modulo()]), "base takes no budget, so it cannot be a part"),
        (Mix([Part(LONGEST, 0.8), Part(Modulo(), 0.3)]), "its shares sum to 1.1"),
        (Mix([Part(LONGEST, 1.0), Modulo()]), "nothing is left for a part without one"),
        (Mix([Part(LONGEST, 2)]), "share=2 is not above 0 and at most 1"),
        (Union([Part(LONGEST, -0.1)]), "is not a share above 0"),
    ],
)
def test_mistakes_without_a_pool(method, says):
    with pytest.raises(UserError) as error:
        method.check()
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("method", "limit", "says"),
    [
        (Chain([Part(LONGEST, 0.05), Modulo()]), 1, "keeps none of the 10 examples"),
        (
            Chain([Part(LONGEST, 3), Modulo()]),
            5,
            "leaves 3 of 10 examples to its last step, fewer than the budget of 5",
        ),
        (Chain([Part(LONGEST, 30), Modulo()]), 5, "is given 10 examples at most"),
        (Chain([Part(LONGEST, 5), Part(Modulo(), 6), LONGEST]), 5, "is given 5 examples at most"),
        (Chain([Part(LONGEST, 5), Part(Chain([Part(LONGEST, 0.1), LONGEST]), 2), LONGEST]), 2, "keeps none of the 5"),
        (Union([Part(LONGEST, 2), Part(Modulo(), 1)]), 4, "has 3 examples at most, fewer than the budget of 4"),
        (Intersection([Part(LONGEST, 11)]), 4, "does not fit a pool of 10 examples"),
    ],
)
def test_mistakes_that_a_budget_shows(method, limit, says):
    with pytest.raises(UserError) as error:
        method.check_budget(Budget.of(POOL, limit))
    assert says in str(error.value)
    if isinstance(method, Chain) and "leaves" in says:
        method.check_budget(Budget.of(POOL, 1.0))  # budget=all takes what is left


def test_a_step_that_finds_nothing_is_not_applicable():
    odd = Pool([POOL[1], POOL[3]])
    with pytest.raises(NotApplicable, match=r"step 2 .* finds none of the 1 examples"):
        chosen(Chain([Part(LONGEST, 1), Part(Even())]), 1, odd)


def test_a_pool_without_sources_is_refused():
    bare = Pool([Example("0", "a", "b", category="x")], "bare")
    with pytest.raises(UserError, match=r"no example of pool 'bare' has a source. Valid for this pool: by=category"):
        Stratified(LONGEST).check_examples(bare)
    Stratified(LONGEST, by="category").check_examples(bare)
    assert chosen(Stratified(LONGEST, by="category"), 1, bare) == "0"


def test_a_step_that_breaks_the_contract_on_a_part_of_the_pool_is_named():
    @selector("toy_wrong", uses_scorer=False)
    class Wrong:
        def select(self, pool, budget, context):
            return Selection(("0",))

    with pytest.raises(PluginError, match="'toy_wrong' returned ids that are not in the part"):
        chosen(Chain([Part(LONGEST, 3), Wrong()]), 1)

    @selector("toy_short", uses_scorer=False)
    class Short:
        def select(self, pool, budget, context):
            return Selection(pool.ids[:1])

    with pytest.raises(
        PluginError, match="'toy_short' selected 1 examples of a part of the pool where the budget is 3"
    ):
        chosen(Chain([Part(LONGEST, 5), Short()]), 3)


@dataclass(frozen=True)
class Words:
    """A toy feature that notes over how many examples it is computed."""

    needs_scorer: ClassVar[bool] = False
    over: ClassVar[list[int]] = []

    def compute(self, pool, context):
        self.over.append(len(pool))
        return {
            "words": np.array([len(example.response) for example in pool]),
            "pool": np.array([len(pool)] * len(pool)),
        }


@dataclass(frozen=True)
class EachWords(Words):
    per_example: ClassVar[bool] = True


@selector("toy_featured", uses_scorer=False, nested=True)
class Featured:
    spec: type = Words

    def needs(self, seed):
        return [self.spec()]

    def select(self, pool, budget, context):
        found = context.features(self.spec())
        assert len(found["words"]) == len(pool)
        return Selection.ranked(found["words"], budget, seen=found["pool"])


def test_a_feature_of_each_example_is_that_of_the_whole_pool_and_another_is_computed_over_the_part():
    Words.over.clear()
    for spec, expected in ((EachWords, [10]), (Words, [4])):
        Words.over.clear()
        chain = Chain([Part(Modulo(), 4), Featured(spec)])
        assert chosen(chain, 2) == "96"
        assert Words.over == expected
        # The plan knows of the first, which is computed over the pool.
        assert [*features_with_inner(chain, 0)] == ([spec()] if spec is EachWords else [])


def test_what_is_declared_per_example_is_so_to_the_bit(tmp_path):
    from helpers.golden_pool import golden_pool
    from helpers.tiny_models import make_model

    from selbench.features.lengths import ResponseLength

    pool, scorer = golden_pool(), make_model(tmp_path, seed=7)
    assert ResponseLength.per_example
    whole = Context(pool, scorer=scorer).features(ResponseLength())
    part = pool.part([20, 3, 11])
    alone = Context(part, scorer=scorer).features(ResponseLength())
    assert all((whole[name][[20, 3, 11]] == alone[name]).all() for name in whole)
