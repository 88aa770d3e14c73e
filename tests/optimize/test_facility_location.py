"""Facility location: the hand-worked picks, the plain greedy on random points, ties, neighbours and the bonus."""

from __future__ import annotations

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.optimize.facility_location import facility_location
from selbench.optimize.nearest import nearest_neighbours, unit_rows

LINE = np.array([[0.0], [1], [2], [7], [10]])


def plain_greedy(similar: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    """The textbook: every gain anew at every step; ties to the lower position."""
    covered, order, gains = np.zeros(len(similar)), [], []
    for _ in range(k):
        gain = np.maximum(similar - covered, 0).sum(axis=1)
        gain[order] = -1
        order.append(int(np.argmax(np.round(gain, 9))))
        gains.append(float(gain[order[-1]]))
        covered = np.maximum(covered, similar[order[-1]])
    return order, gains


def test_the_picks_worked_out_by_hand():
    found = facility_location(LINE, 3, similarity="euclidean")
    assert found.order.tolist() == [1, 3, 4]
    assert found.gains == pytest.approx([2.2429, 1.0071, 0.75], abs=5e-5)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(3))
def test_the_picks_are_those_of_the_plain_greedy(similarity, seed):
    points = np.random.default_rng(seed).standard_normal((80, 5))
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    similar = np.maximum(units @ units.T, 0) if similarity == "cosine" else 1 / (1 + apart)
    order, gains = plain_greedy(similar, 30)
    found = facility_location(points, 30, similarity=similarity)
    assert found.order.tolist() == order
    assert found.gains == pytest.approx(gains, abs=1e-4)
    assert (np.diff(found.gains) <= 0).all()


def test_a_smaller_limit_is_a_prefix_and_the_order_of_the_pool_changes_nothing():
    points = np.random.default_rng(5).standard_normal((120, 8))
    mixed = np.random.default_rng(6).permutation(120)
    whole = facility_location(points, 60).order
    assert facility_location(points, 25).order.tolist() == whole[:25].tolist()
    # Late picks tie: of two items that cover each other alone, both add the same.
    assert mixed[facility_location(points[mixed], 30).order].tolist() == whole[:30].tolist()


def test_equal_vectors_come_in_order_and_the_second_adds_nothing():
    found = facility_location(np.ones((6, 3)), 4)
    assert found.order.tolist() == [0, 1, 2, 3]
    assert found.gains.tolist() == [6, 0, 0, 0]


def test_zero_vectors_are_similar_to_nothing():
    points = np.array([[0, 0], [1, 0], [0, 0], [0, 1.0]])
    assert facility_location(points, 4).order.tolist() == [1, 3, 0, 2]
    assert facility_location(np.zeros((1, 2)), 1).order.tolist() == [0]


def test_float16_vectors_are_read_as_they_are():
    points = np.random.default_rng(1).standard_normal((40, 4)).astype(np.float16)
    assert facility_location(points, 9).order.tolist() == facility_location(points.astype(np.float64), 9).order.tolist()


def test_a_budget_of_costs_ends_before_the_pick_that_exceeds_it():
    found = facility_location(LINE, 7, similarity="euclidean", costs=np.array([1, 4, 1, 3, 2]))
    assert found.order.tolist() == [1, 3]


def test_all_neighbours_are_all_similarities():
    points = np.random.default_rng(2).standard_normal((50, 6))
    for similarity in ("cosine", "euclidean"):
        dense = facility_location(points, 20, similarity=similarity, neighbours=0)
        # One short of all: the farthest of an item is left out, and no pick depends on it here.
        sparse = facility_location(points, 20, similarity=similarity, neighbours=49)
        assert sparse.neighbours == 49
        assert sparse.order.tolist() == dense.order.tolist()


def test_a_neighbourhood_is_covered_by_its_centre_alone():
    # Two groups of three, and each item similar to its two nearest and itself.
    points = np.array([[0.0], [0.1], [0.2], [5], [5.1], [5.2]])
    found = facility_location(points, 2, similarity="euclidean", neighbours=3)
    assert found.order.tolist() == [1, 4]
    assert found.gains == pytest.approx([1 + 2 / 1.1] * 2, abs=1e-5)


def test_the_bonus_is_mixed_with_the_gain():
    # Gains 2.2429 of item 1 and 2.1742 of item 2, G = 2.2429; with alpha 0.5 a bonus of item 2 alone puts it first.
    bonus = np.array([0, 0, 1.0, 0, 0])
    assert facility_location(LINE, 1, similarity="euclidean", bonus=bonus, alpha=0.01).order.tolist() == [1]
    found = facility_location(LINE, 1, similarity="euclidean", bonus=bonus, alpha=0.5)
    gain = 1 / 3 + 1 / 2 + 1 + 1 / 6 + 1 / 9
    assert found.order.tolist() == [2]
    assert found.values == pytest.approx([0.5 * gain / 2.242857 + 0.5], abs=1e-5)
    quality = np.array([0.2, 0.9, 0.4, 1, 0])
    assert facility_location(LINE, 5, bonus=quality, alpha=1).order.tolist() == [3, 1, 2, 0, 4]


def test_the_recall_of_an_approximate_index_is_measured():
    points = unit_rows(np.random.default_rng(3).standard_normal((3000, 24)))
    exact = nearest_neighbours(points, 10)
    assert exact.recall == 1.0
    assert (exact.positions[:, 0] == np.arange(3000)).all()
    for index in ("ivf", "hnsw"):
        found = nearest_neighbours(points, 10, index=index)
        rows = np.linspace(0, 2999, 256).astype(int)
        hits = np.mean([len(set(found.positions[i]) & set(exact.positions[i])) / 10 for i in rows])
        assert found.recall == pytest.approx(hits)
        assert 0.3 < found.recall <= 1
        assert np.array_equal(found.positions, nearest_neighbours(points, 10, index=index).positions)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"similarity": "dot"}, "similarity 'dot'"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"neighbours": -1}, "neighbours=-1"),
        ({"neighbours": 2, "index": "tree"}, "index 'tree'"),
    ],
)
def test_invalid_options_are_named(options, named):
    with pytest.raises(UserError, match=named):
        facility_location(LINE, 2, **options)


def test_points_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="NaN or infinite"):
        facility_location(np.array([[np.nan], [1.0]]), 1)
