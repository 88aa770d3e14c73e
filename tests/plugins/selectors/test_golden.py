"""Pinned selections on a pool of 24: a change here changes what people get, and must be meant."""

from __future__ import annotations

import pytest
from helpers.golden_pool import golden_pool
from helpers.tiny_models import make_model
from selbench_plugins.selectors.chain import Chain
from selbench_plugins.selectors.intersection import Intersection
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mads import Mads
from selbench_plugins.selectors.mix import Mix
from selbench_plugins.selectors.random import Random
from selbench_plugins.selectors.stratified import Stratified
from selbench_plugins.selectors.union import Union

from selbench.api import Budget, Context, ModelRef
from selbench.held import Part

TFIDF, CHARACTERS = KCenter(encoder="tfidf", first="0"), Longest(unit="characters")


def chosen(method, scorer: ModelRef | None = None, seed: int = 0) -> str:
    examples = golden_pool()
    return " ".join(method.select(examples, Budget.of(examples, 8), Context(examples, seed=seed, scorer=scorer)).ids)


GOLDEN = [
    (Random(), "say0 add4 say3 name4 name5 add2 say4 name0"),
    (Random(balanced="source"), "say0 name4 longer4 add4 name5 longer0 say3 name0"),
    (Longest(unit="characters"), "say5 add2 say4 add5 say2 add1 add4 add3"),
    (KCenter(encoder="tfidf", first="0"), "add0 name1 longer2 say4 say3 say1 name2 name4"),
    (
        KCenter(encoder="tfidf", first="medoid", text="text", metric="euclidean"),
        "name3 longer3 add1 say3 say1 longer4 say5 longer1",
    ),
    (Chain([Part(CHARACTERS, 0.5), TFIDF]), "add0 name1 say4 say2 add2 add3 name2 add4"),
    (Mix([Part(Random(), 0.5), TFIDF]), "say0 add0 add4 name1 say3 longer2 name4 say4"),
    (Union([CHARACTERS, TFIDF]), "say5 add0 add2 name1 say4 longer2 add5 say3"),
    (Intersection([Part(CHARACTERS, 0.5), Part(TFIDF, 0.5)]), "add2 say4 add3 name2 name1 add0"),
    (Stratified(TFIDF, by="category"), "add0 longer0 name0 say0 add2 longer3 name2 say1"),
    (Stratified(Random(), quotas="equal"), "say3 name3 longer3 add2 name2 longer2 say1 name5"),
]
GOLDEN_SCORER = [
    (Random(match="length", quantile=0.5), "say0 add4 say3 name4 name5 add2 say4 say5"),
    (Random(match="length", like=Longest()), "add2 add5 add4 add1 say5 add3 say2 add0"),
    (Random(match="length", like=KCenter(encoder="tfidf", first="0")), "say5 say0 longer5 name5 say3 say4 name2 name4"),
    (Longest(), "add2 add5 add1 add4 add0 add3 say2 say5"),
    (KCenter(space="hidden", first="0"), "add0 say2 say4 name2 name4 longer1 name1 say3"),
    (Chain([Part(Longest(), 0.5), KCenter(space="hidden", first="0")]), "add0 say2 say4 name2 name5 say1 add3 add4"),
    (Mads(rho=0.1), "name1 name4 say4 name0 say2 name5 say5 name3"),
    (Mads(rho=0.1, objective="set_cover", layers="all"), "say1 name1 name4 say3 say0 name0 name2 longer0"),
    (
        Mads(threshold="top_m", top_m=4, weights="idf", capture="ffn_prod", response=True, positions="all"),
        "say3 name4 add4 name3 longer4 add2 say2 name5",
    ),
]


@pytest.mark.parametrize(("method", "expected"), GOLDEN, ids=[repr(method) for method, _ in GOLDEN])
def test_without_a_model(method, expected):
    assert chosen(method) == expected


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("golden"), seed=7)


@pytest.mark.parametrize(("method", "expected"), GOLDEN_SCORER, ids=[repr(method) for method, _ in GOLDEN_SCORER])
def test_with_a_seeded_random_model(method, expected, scorer):
    assert chosen(method, scorer) == expected
