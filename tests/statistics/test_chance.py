"""The Jaccard index expected by chance, against the mean over all pairs of sets."""

from __future__ import annotations

import itertools
import math

import pytest

from selbench.statistics.chance import expected_jaccard


@pytest.mark.parametrize(("a", "b", "pool"), [(2, 3, 6), (1, 1, 4), (4, 5, 6), (6, 6, 6), (0, 2, 5)])
def test_expected_jaccard_is_the_mean_over_all_pairs_of_sets(a, b, pool):
    pairs = itertools.product(itertools.combinations(range(pool), a), itertools.combinations(range(pool), b))
    every = [len(set(one) & set(other)) / len({*one, *other}) for one, other in pairs]
    assert expected_jaccard(a, b, pool) == pytest.approx(sum(every) / len(every))


@pytest.mark.parametrize(("a", "b", "pool"), [(0, 0, 5), (7, 2, 6), (2, 7, 6), (1, 1, 0)])
def test_expected_jaccard_is_unknown_for_empty_or_too_large_sets(a, b, pool):
    assert math.isnan(expected_jaccard(a, b, pool))
