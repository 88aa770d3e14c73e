"""Farthest-first traversal, compared with picks computed by hand and with the textbook algorithm on random inputs."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from selbench.errors import UserError
from selbench.optimize import kcenter, nearest
from selbench.optimize.kcenter import farthest_first, medoid


def textbook(points, k, first):
    """The textbook algorithm: all distances to every centre, in float64; ties go to the lower position."""
    points = np.asarray(points, np.float64)
    order, radius, nearest = [first], [np.inf], np.linalg.norm(points - points[first], axis=1)
    while len(order) < k:
        best = max((i for i in range(len(points)) if i not in order), key=lambda i: (nearest[i], -i))
        order.append(best)
        radius.append(nearest[best])
        nearest = np.minimum(nearest, np.linalg.norm(points - points[best], axis=1))
    return order, radius


def test_hand_vector():
    points = np.array([[0.0], [1], [2], [7], [10]])
    found = farthest_first(points, 4, metric="euclidean", first=0)
    assert found.order.tolist() == [0, 4, 3, 2]
    assert found.radius.tolist() == [np.inf, 10, 3, 2]
    assert (
        farthest_first(points, 5, metric="euclidean", first=0).radius[-1] == 1
    )  # the point left over after four picks


def test_random_grids_with_many_ties(monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(150):
        monkeypatch.setattr(kcenter, "BLOCK", int(rng.integers(1, 20)))
        monkeypatch.setattr(kcenter, "CHUNK", int(rng.integers(1, 9)))
        n = int(rng.integers(1, 40))
        # Multiples of n, so that whole numbers remain when the mean of n points is subtracted: ties are exact.
        points = rng.integers(-3, 4, (n, int(rng.integers(1, 5)))) * float(n)
        k, first = int(rng.integers(1, n + 1)), int(rng.integers(n))
        found = farthest_first(points, k, metric="euclidean", first=first)
        order, radius = textbook(points, k, first)
        assert found.order.tolist() == order
        np.testing.assert_allclose(found.radius, radius, rtol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("clusters", [0, 12])
def test_random_points(metric, clusters, monkeypatch):
    monkeypatch.setattr(kcenter, "BLOCK", 64)
    monkeypatch.setattr(kcenter, "CHUNK", 16)
    rng = np.random.default_rng(clusters)
    points = rng.standard_normal((700, 24)).astype(np.float32)
    if clusters:
        points = points * 0.4 + rng.standard_normal((clusters, 24)).astype(np.float32)[rng.integers(0, clusters, 700)]
    found = farthest_first(points, 200, metric=metric, first=5)
    space = points.astype(np.float64)
    space = space / np.linalg.norm(space, axis=1, keepdims=True) if metric == "cosine" else space
    order, radius = textbook(space, 200, 5)
    assert found.order.tolist() == order
    np.testing.assert_allclose(found.radius, radius, rtol=1e-4)
    assert (np.diff(found.radius[1:]) <= 1e-6).all()


def test_prefix_and_budget_in_tokens():
    rng = np.random.default_rng(1)
    points, costs = rng.standard_normal((90, 6)), rng.integers(1, 9, 90)
    full = farthest_first(points, 90).order.tolist()
    assert sorted(full) == list(range(90))
    assert farthest_first(points, 31).order.tolist() == full[:31]
    for limit in (1, 17, 60, int(costs.sum())):
        found = farthest_first(points, limit, costs=costs).order.tolist()
        fits = int(np.searchsorted(np.cumsum(costs[full]), limit, side="right"))
        assert found == full[:fits]


def test_permuting_the_points_permutes_the_picks():
    rng = np.random.default_rng(2)
    points = rng.standard_normal((120, 8))
    order = rng.permutation(120)
    one = farthest_first(points, 40, first=int(order[0])).order
    two = farthest_first(points[order], 40, first=0).order
    assert one.tolist() == order[two].tolist()


def test_duplicates_come_last_and_in_order():
    points = np.array([[1.0, 0], [1, 0], [0, 1], [1, 0], [0, 1], [-1, 0]])
    found = farthest_first(points, 6, first=3)
    assert found.order.tolist() == [3, 5, 2, 0, 1, 4]
    assert found.radius[3:].tolist() == [0, 0, 0]
    same = farthest_first(np.zeros((5, 3)), 5, first=2)
    assert same.order.tolist() == [2, 0, 1, 3, 4]


def test_one_point():
    assert farthest_first(np.ones((1, 4)), 1).order.tolist() == [0]


def test_medoid_is_the_point_of_least_squared_distance():
    points = np.random.default_rng(3).standard_normal((60, 5))
    for metric in ("cosine", "euclidean"):
        space = points / np.linalg.norm(points, axis=1, keepdims=True) if metric == "cosine" else points
        squared = ((space[:, None] - space[None]) ** 2).sum((1, 2))
        assert medoid(points, metric) == squared.argmin()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"first": 7}, "outside the 3 points"), ({"metric": "cosin"}, "Did you mean 'cosine'")],
)
def test_bad_input(options, message):
    with pytest.raises(UserError, match=message):
        farthest_first(np.ones((3, 2)), 2, **options)


def test_points_must_be_finite():
    with pytest.raises(UserError, match="NaN"):
        farthest_first(np.array([[1.0], [np.nan]]), 1)


@pytest.fixture
def build(monkeypatch):
    """Has the installed build of faiss look like another one: `build(gpus)` is one for GPUs, `build(None)` one for CPUs.

    faiss on the CPU answers the calls to the GPU, so that the calls are seen to be right; no GPU is used.
    """
    asked: list[str] = []

    def knn_gpu(resources, rows, centres, k):
        asked.append("gpu")
        return knn(rows, centres, k)

    def knn_cpu(rows, centres, k):
        asked.append("cpu")
        return knn(rows, centres, k)

    def look_like(gpus: int | None) -> list[str]:
        if gpus is None:
            monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
        else:
            monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
            monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus or 0)
        monkeypatch.setattr(faiss, "knn", knn_cpu)
        nearest.nearest_search.cache_clear()
        return asked

    knn = faiss.knn
    yield look_like
    nearest.nearest_search.cache_clear()


@pytest.mark.parametrize(("gpus", "where"), [(None, "cpu"), (0, "cpu"), (1, "gpu")])
def test_faiss_searches_on_the_gpu_if_its_build_and_the_machine_have_one(build, gpus, where):
    points = np.random.default_rng(3).standard_normal((5000, 16)).astype(np.float32)
    expected = farthest_first(points, 600).order
    asked = build(gpus)
    assert set(farthest_first(points, 600).order) == set(expected)
    assert set(asked) == {where}


def test_the_search_gives_squared_distances_that_are_never_negative():
    rows = np.random.default_rng(4).standard_normal((300, 12)).astype(np.float32) * 100
    found = nearest.nearest_search()(rows, np.concatenate([rows[:150], rows[:3] + 1]))
    exact = ((rows[:, None].astype(np.float64) - rows[None, :150]) ** 2).sum(2).min(1)
    np.testing.assert_allclose(found[150:], exact[150:], rtol=1e-4)
    assert (found >= 0).all() and np.allclose(found[:150], 0, atol=1)


@pytest.mark.parametrize("rows", [1, 19, 20, 21, 400])
def test_ties_go_to_the_lower_position_however_many_points_are_compared_at_once(rows, monkeypatch):
    """faiss.knn sums squared differences for fewer than 20 rows and multiplies matrices for more."""
    monkeypatch.setattr(kcenter, "BLOCK", rows)
    points = np.concatenate([np.eye(40), -np.eye(40)]).astype(np.float32)
    assert farthest_first(points, 80).order.tolist() == [0, 40, *range(1, 40), *range(41, 80)]


def test_the_margin_is_the_distance_to_the_next_pick_also_of_one_left_out():
    points = np.array([[0.0], [1], [2], [7], [10]])
    assert farthest_first(points, 3, metric="euclidean", first=0).margin.tolist() == [np.inf, 7, 1]
    whole = farthest_first(points, 5, metric="euclidean", first=0).margin
    assert whole[:4].tolist() == [np.inf, 7, 1, 1] and np.isnan(whole[4])
    tokens = farthest_first(points, 6, costs=np.array([1, 1, 2, 4, 2]), metric="euclidean", first=0)
    assert tokens.order.tolist() == [0, 4] and tokens.margin.tolist() == [np.inf, 7]
    assert farthest_first(np.ones((3, 2)), 2).margin.tolist()[1] == 0
