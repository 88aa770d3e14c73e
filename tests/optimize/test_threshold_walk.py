"""The threshold walk: DEITA's loop at batch size 1, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.optimize import threshold_walk
from selbench.optimize.threshold_walk import cosine_quantile, walk_apart


def deita_loop(points: np.ndarray, order: list[int], threshold: float, size: int) -> list[int]:
    """hkust-nlp/deita, combined_filter at batch size 1: compared with the kept ones, stopped at data_size."""
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    kept: list[int] = []
    for item in order:
        if len(kept) == size:
            break
        if not kept or (units[kept] @ units[item]).max() <= threshold:
            kept.append(item)
    return kept


@pytest.mark.parametrize("chunk", [1, 7, 64, 512])
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_the_items_are_those_of_deitas_loop(chunk, threshold, monkeypatch):
    monkeypatch.setattr(threshold_walk, "CHUNK", chunk)
    monkeypatch.setattr(threshold_walk, "TAKEN", 5)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((200, 6))
    points[100:] = points[:100] + 0.2 * rng.standard_normal((100, 6))
    order = rng.permutation(200)
    for size in (200, 20):
        expected = deita_loop(points, order.tolist(), threshold, size)
        assert walk_apart(points, size, order=order, threshold=threshold).order.tolist() == expected


def test_a_rejected_item_rejects_nothing():
    """0, 40 and 80 degrees at 0.5 (60 degrees): 40 is rejected for 0, and 80, near 40 alone, is taken."""
    angles = np.deg2rad([0, 40, 80])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = walk_apart(points, 3, order=np.arange(3), threshold=0.5)
    assert found.order.tolist() == [0, 2]
    assert found.similarity == pytest.approx([-1, np.cos(np.deg2rad(80))], abs=1e-6)
    assert found.walked == 3


def test_equal_vectors_leave_one_and_zero_vectors_are_all_taken():
    assert walk_apart(np.ones((5, 3)), 5, order=np.array([3, 0, 1, 2, 4])).order.tolist() == [3]
    assert walk_apart(np.ones((5, 3)), 5, order=np.arange(5), threshold=1.0).order.tolist() == [0, 1, 2, 3, 4]
    assert walk_apart(np.zeros((3, 2)), 3, order=np.arange(3)).order.tolist() == [0, 1, 2]


def test_the_walk_ends_where_the_next_item_exceeds_the_costs():
    points = np.eye(4)
    found = walk_apart(points, 6, order=np.arange(4), costs=np.array([2, 3, 2, 1]))
    assert found.order.tolist() == [0, 1]


def test_the_quantile_is_that_of_the_pairs():
    """Cosines of the pairs of 0, 60 and 90 degrees: 0, 1/2 and cos 30."""
    angles = np.deg2rad([0, 60, 90])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert cosine_quantile(points, 0.0) == pytest.approx(0, abs=1e-6)
    assert cosine_quantile(points, 0.5) == pytest.approx(0.5, abs=1e-6)
    assert cosine_quantile(points, 1.0) == pytest.approx(np.cos(np.deg2rad(30)), abs=1e-6)
    assert cosine_quantile(points[:1], 0.5) == 1.0


def test_invalid_thresholds_are_named():
    with pytest.raises(UserError, match=r"threshold=1\.2"):
        walk_apart(np.eye(2), 2, order=np.arange(2), threshold=1.2)
    with pytest.raises(UserError, match="quantile=7"):
        cosine_quantile(np.eye(2), 7)
