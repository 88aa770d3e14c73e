"""Clusters, the turns that groups take, and semantic duplicates within clusters."""

from __future__ import annotations

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.optimize.kmeans import Clustered, members_of, round_robin, spherical_clusters
from selbench.optimize.semantic_duplicates import duplicate_cosines


def bundles(seed: int = 0) -> np.ndarray:
    """Three bundles of 20, 10 and 5 points along three axes."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.eye(3), [20, 10, 5], axis=0) + 0.05 * rng.standard_normal((35, 3))


def test_bundles_are_found_whatever_the_length_of_the_points():
    points = bundles() * np.random.default_rng(1).uniform(0.1, 9, (35, 1))
    sizes = {tuple(sorted(np.bincount(spherical_clusters(points, 3, seed).cluster, minlength=3))) for seed in range(8)}
    assert (5, 10, 20) in sizes
    again = spherical_clusters(points, 3, 4)
    assert np.array_equal(again.cluster, spherical_clusters(points, 3, 4).cluster)


def test_no_more_clusters_than_distinct_points():
    found = spherical_clusters(np.ones((7, 2)), 5, 0)
    assert found.clusters == 1
    assert found.cluster.tolist() == [0] * 7
    assert spherical_clusters(np.zeros((1, 3)), 4, 0).cluster.tolist() == [0]
    with pytest.raises(UserError, match="clusters=0"):
        spherical_clusters(np.eye(3), 0, 0)


def test_an_empty_cluster_has_no_members_and_takes_no_turn():
    members = members_of(np.array([2, 0, 2, 0]), 3)
    assert [some.tolist() for some in members] == [[1, 3], [], [0, 2]]
    order, by = round_robin(members, 4, np.ones(4, np.int64))
    assert order.tolist() == [1, 0, 3, 2]
    assert by.tolist() == [0, 2, 0, 2]


def test_an_item_of_several_rankings_is_taken_once():
    """As RDS+ takes turns: ranking 1 has lost its best, and takes its next in the same turn."""
    rankings = [np.array([3, 1]), np.array([3, 2, 0]), np.array([3])]
    order, by = round_robin(rankings, 9, np.ones(4, np.int64))
    assert order.tolist() == [3, 2, 1, 0]
    assert by.tolist() == [0, 1, 0, 1]
    assert round_robin(rankings, 3, np.array([1, 1, 2, 1]))[0].tolist() == [3, 2]
    assert len(round_robin([], 3, np.ones(2, np.int64))[0]) == 0


def test_the_largest_cosine_to_an_earlier_item_of_the_cluster():
    """One cluster of 0, 30 and 90 degrees and a centre at 0: walked 90, 30, 0. Another cluster has its own first."""
    angles = np.deg2rad([0, 30, 90, 0])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = Clustered(np.array([0, 0, 0, 1]), np.cos(angles), 2)
    expected = [np.cos(np.deg2rad(30)), np.cos(np.deg2rad(60)), -1, -1]
    assert duplicate_cosines(points, found) == pytest.approx(expected, abs=1e-6)


def test_semantic_duplicates_are_those_of_the_reference_loop():
    """facebookresearch/SemDeDup: per cluster the upper triangle of the cosines, its largest value in each column."""
    points = bundles(3)
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    found = spherical_clusters(points, 3, 0)
    expected = np.full(35, -1.0)
    for cluster in range(found.clusters):
        members = np.flatnonzero(found.cluster == cluster)
        walked = members[np.argsort(found.cosine[members], kind="stable")]
        cosines = np.triu(units[walked] @ units[walked].T, 1)
        for place in range(1, len(walked)):
            expected[walked[place]] = cosines[:place, place].max()
    assert duplicate_cosines(points, found) == pytest.approx(expected, abs=1e-6)


def test_exact_duplicates_have_cosine_1():
    points = np.array([[1.0, 2], [1, 2], [2, -1], [1, 2]])
    cosines = duplicate_cosines(points, Clustered(np.zeros(4, np.int64), np.ones(4), 1))
    assert cosines == pytest.approx([-1, 1, 0, 1], abs=1e-6)
