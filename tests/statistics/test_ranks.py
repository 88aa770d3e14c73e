"""Ranks, the critical difference of average ranks, and the stretches of ranks that cannot be told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from selbench.statistics.ranks import critical_distance, score_ranks, tied_runs


def test_the_best_score_has_rank_one_and_equal_ones_share_a_rank():
    assert score_ranks([0.5, 0.9, 0.5], higher_is_better=True).tolist() == [2.5, 1, 2.5]
    assert score_ranks([0.5, 0.9, 0.5], higher_is_better=False).tolist() == [1.5, 3, 1.5]


def test_the_critical_difference_is_that_of_demsars_table():
    # Demsar (2006), table 5: q at 0.05 is 2.569 for four arms; his example has 14 data sets and CD = 1.25.
    ranks = np.array([np.roll([1.0, 2, 3, 4], i % 2) for i in range(14)])
    distance, p = critical_distance(ranks, 0.95)
    assert distance == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert p == stats.friedmanchisquare(*ranks.T).pvalue


def test_arms_with_equal_scores_in_every_block_do_not_differ():
    assert critical_distance(np.full((5, 4), 2.5), 0.95)[1] == 1  # and no warning of a division by zero


@pytest.mark.parametrize("shape", [(1, 4), (5, 2)])
def test_there_is_no_critical_difference_with_one_block_or_two_arms(shape):
    assert all(math.isnan(value) for value in critical_distance(np.ones(shape), 0.95))


def test_tied_stretches_are_as_long_as_possible_and_none_lies_within_another():
    assert tied_runs([1.0, 1.5, 2.4, 4.0], 1.0) == [(0, 2), (1, 3)]
    assert tied_runs([1.0, 1.1, 1.2], 1.0) == [(0, 3)]
    assert tied_runs([1.0, 3.0], 1.0) == tied_runs([1.0], 1.0) == []
