"""How near the last pick was to the next one, for each budget of a ranking; and the dtype in the key of what it decides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.tiny_models import make_pool
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.longest import Longest
from selbench_plugins.selectors.mads import Mads

from selbench.api import Budget, ModelRef, Selection, selector
from selbench.features.embeddings import HiddenStates
from selbench.run.features import FeatureStage
from selbench.run.select import SelectionStage
from selbench.store.stages import Store


def selected(method, pool, count, store, *shared):
    stage = SelectionStage(method, pool, Budget.of(pool, count), ModelRef(), {}, 0)
    return stage.result(store, [Budget.of(pool, other) for other in shared])


def test_the_margin_is_that_of_the_budget_also_where_a_longer_ranking_serves_it(tmp_path):
    pool, method = make_pool(30), Longest(unit="characters")
    said = [[example.response, *(answer for _, answer in example.history)] for example in pool]
    lengths = np.sort([sum(map(len, answers)) for answers in said])[::-1]
    for count in (5, 12, 20):
        found = selected(method, pool, count, Store(tmp_path), 5, 12, 20)
        assert found.margin == lengths[count - 1] - lengths[count]
    assert selected(method, pool, 30, Store(tmp_path)).margin is None  # nothing is left out


def test_the_margin_of_k_center_is_a_distance(tmp_path):
    pool = make_pool(40)
    of = {count: selected(KCenter(encoder="tfidf", first="0"), pool, count, Store(tmp_path)) for count in (6, 7)}
    radius = np.load(next((tmp_path / "selection").glob("*-7")) / "diagnostics.npz")["radius"]
    assert of[6].margin == pytest.approx(radius[4] - radius[5])


@selector("odd_margin", nested=True, uses_scorer=False)
class OddMargin:
    """Has a diagnostic of that name that is something else."""

    def select(self, pool, budget, context):
        return dataclasses.replace(Selection.ordered(range(len(pool)), budget), diagnostics={"margin": np.ones((2, 2))})


def test_a_diagnostic_of_another_shape_is_no_margin(tmp_path):
    assert selected(OddMargin(), make_pool(10), 3, Store(tmp_path)).margin is None


def test_the_dtype_is_in_the_key_of_what_looks_through_the_scorer(tmp_path):
    """Half the digits keep 966 of 1,200 k-center picks on hidden states: they are another selection."""
    pool = make_pool(5)
    (tmp_path / "config.json").write_text("{}")
    scorers = [ModelRef("m", str(tmp_path), dtype=dtype) for dtype in ("float32", "bfloat16")]

    def keys(method) -> set[str]:
        return {SelectionStage(method, pool, Budget.of(pool, 2), scorer, {}, 0).key for scorer in scorers}

    assert len({FeatureStage(HiddenStates(), pool, scorer).key for scorer in scorers}) == 2
    assert len(keys(KCenter(space="hidden"))) == len(keys(Mads())) == 2
    assert len(keys(KCenter(encoder="tfidf"))) == 1
