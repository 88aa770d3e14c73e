"""Pinned selections on a pool of 24: a change here changes what people get, and must be meant."""

from __future__ import annotations

import pytest
from helpers.golden_pool import golden_pool
from helpers.tiny_models import make_byte_tokenizer, make_model
from selbench_plugins.selectors.alpagasus import Alpagasus
from selbench_plugins.selectors.chain import Chain
from selbench_plugins.selectors.d4 import D4
from selbench_plugins.selectors.deita import Deita
from selbench_plugins.selectors.facility_location import FacilityLocation
from selbench_plugins.selectors.ifd import Ifd
from selbench_plugins.selectors.instag_cover import InsTagCover
from selbench_plugins.selectors.intersection import Intersection
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.kmeans_balanced import KMeansBalanced
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mads import Mads
from selbench_plugins.selectors.mix import Mix
from selbench_plugins.selectors.parts import Parts
from selbench_plugins.selectors.perplexity import Perplexity
from selbench_plugins.selectors.random import Random
from selbench_plugins.selectors.repr_filter import ReprFilter
from selbench_plugins.selectors.selectit import SelectIt
from selbench_plugins.selectors.semdedup import SemDeDup
from selbench_plugins.selectors.stratified import Stratified
from selbench_plugins.selectors.superfilter import Superfilter
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
    (FacilityLocation(space="tfidf"), "add4 longer4 say4 name4 longer2 name3 say2 longer3"),
    (
        FacilityLocation(space="tfidf", similarity="cosine", neighbours=4),
        "add1 longer0 name3 say4 say2 longer4 name4 longer2",
    ),
    (ReprFilter(space="tfidf", threshold=0.3), "say0 add4 say3 name4"),
    (ReprFilter(space="tfidf", order="longest", quantile=0.5), "say5 add5 say2 name2"),
    (SemDeDup(space="tfidf", clusters=3), "longer3 say1 say2 add3 say3 name2 say0 longer2"),
    (SemDeDup(space="tfidf", eps=0.5), "say3 say1 say5 add0 name2"),
    (D4(space="tfidf", clusters=2), "say2 say1 add0 say3 name0 add3 longer5 name2"),
    (KMeansBalanced(space="tfidf", clusters=4), "name3 add5 longer4 name4 name1 add4 longer0 longer3"),
    (KMeansBalanced(space="tfidf", clusters=4, within="central"), "name3 add4 name5 longer4 name1 add1 name4 longer5"),
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
    (InsTagCover(), "name1 say0 name3 name4 name5 say3 say4 say5"),
    (FacilityLocation(space="activation_tags"), "add0 say3 name4 name1 name3 say0 add1 add2"),
    (
        ReprFilter(space={"name": "hidden", "pooling": "last"}, threshold=0.99),
        "say0 add4 say3 name4 name5 add2 say4 name0",
    ),
    (
        Parts(space="hidden", rule={"name": "k_center", "first": "0"}),
        "add0 name2 longer1 longer5 longer3 longer2 name5 longer0",
    ),
    (
        Parts(space={"name": "activation_tags", "rho": 0.1}, rule="coverage"),
        "name1 name4 say4 name0 say2 name5 say5 name3",
    ),
    (
        Parts(space={"name": "activation_tags", "threshold": "top_m"}, rule="round_robin"),
        "add1 name2 say3 say2 longer1 name1 say0 name4",
    ),
    (
        Parts(space="activation_tags", rule={"name": "by_score", "take": "middle"}),
        "longer3 longer4 longer2 longer5 longer1 say1 longer0 say2",
    ),
    (Perplexity(), "name3 say5 say4 say0 add0 name0 add2 add1"),
    (Perplexity("low"), "longer2 name5 longer3 name4 say2 longer4 longer5 longer0"),
    (Perplexity("middle", "response"), "add2 longer4 name2 say1 add0 longer5 add5 name0"),
    (Ifd(), "add2 name1 name5 add5 say3 name2 name4 longer1"),
    (Ifd(max_length=14), "name1 name5 say3 name2 name4 longer1 say4 longer2"),
    (Superfilter(), "name1 name3 add0 longer2 say2 name5 name4 say0"),
]
# Through a model whose tokenizer has digits.
GOLDEN_JUDGE = [
    (Deita(), "add5 add4 add0 add1 add3 say1 name0 say0"),
    (Alpagasus(rule="top"), "name2 name1 say0 add0 add1 add5 add3 say1"),
    (SelectIt(), "name5 add0 name0 add4 add1 longer2 say1 add2"),
    (SelectIt(level="token", chat=True), "longer2 say1 name0 longer1 add2 add5 say4 add0"),
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


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> ModelRef:
    folder = tmp_path_factory.mktemp("judge")
    made = make_model(folder, seed=7, tokenizer=make_byte_tokenizer(), vocab_size=300, max_position_embeddings=1024)
    return ModelRef(made.name, made.path, max_length=1024)


@pytest.mark.parametrize(("method", "expected"), GOLDEN_JUDGE, ids=[repr(method) for method, _ in GOLDEN_JUDGE])
def test_with_a_judge(method, expected, judge):
    assert chosen(method, judge) == expected
