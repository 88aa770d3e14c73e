"""Greedy coverage, compared with picks computed by hand and with an independent brute-force greedy on random inputs."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.optimize.coverage import OBJECTIVES, coverage_curve, greedy_coverage, tag_weights

# The tags of five items; the expected picks below are computed by hand, with ties to the lower position.
HAND = [[1, 2, 3, 4], [3, 4, 5], [5, 6], [1, 6], [7]]


def csr(rows):
    indptr = np.cumsum([0, *map(len, rows)])
    return indptr, np.array([tag for row in rows for tag in row], np.int32)


def check_against_brute_force(found, rows, weights, objective, m, costs, limit, rounds):
    """Replay the picks by the definition, computing every gain F(S + i) - F(S) anew.

    Each pick must have the largest gain, and no item at a lower position may have a gain of the same terms.
    """
    g = {
        "log": lambda c: math.log(1 + c),
        "sqrt": math.sqrt,
        "set_cover": lambda c: min(c, 1),
        "m_cover": lambda c: min(c, m),
    }[objective]
    count, left, spent, restarts, restarted = {}, list(range(len(rows))), 0, 0, False

    def terms(i):
        return sorted(weights[t] * (g(count.get(t, 0) + 1) - g(count.get(t, 0))) for t in rows[i])

    for pick, gain in zip(found.order.tolist(), found.gains.tolist()):
        if max(math.fsum(terms(i)) for i in left) < 1e-12 and not restarted:
            assert rounds
            count, restarted, restarts = {}, True, restarts + 1
        gains = {i: math.fsum(terms(i)) for i in left}
        assert gains[pick] >= max(gains.values()) - 1e-9
        assert gain == pytest.approx(gains[pick], abs=1e-9)
        assert not [i for i in left if i < pick and terms(i) == terms(pick)]
        restarted = gains[pick] < 1e-12
        left.remove(pick)
        spent += costs[pick]
        for t in rows[pick]:
            count[t] = count.get(t, 0) + 1
    # The last restart may have found nothing that fits the limit.
    assert found.rounds in (restarts, restarts + 1) and spent <= limit
    # With unit costs, stopping before the limit is right only if no item left has a gain.
    if left and spent < limit and set(costs) == {1}:
        assert not rounds and all(math.fsum(terms(i)) < 1e-12 for i in left)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"objective": "set_cover", "rounds": False}, [0, 2, 4]),
        ({"objective": "set_cover"}, [0, 2, 4, 1, 3]),
        ({"objective": "log"}, [0, 1, 2, 3, 4]),
        ({"objective": "m_cover", "m": 1, "rounds": False}, [0, 2, 4]),
    ],
)
def test_hand_vectors(options, expected):
    assert greedy_coverage(*csr(HAND), 8, 5, **options).order.tolist() == expected


def test_hand_vector_idf():
    indptr, indices = csr(HAND)
    weights = tag_weights(np.bincount(indices, minlength=8), 5, "idf")
    np.testing.assert_allclose(weights, [0, 0.916, 1.609, 0.916, 0.916, 0.916, 0.916, 1.609], atol=5e-4)
    found = greedy_coverage(indptr, indices, 8, 5, objective="set_cover", weights=weights)
    assert found.order[:3].tolist() == [0, 2, 4]
    np.testing.assert_allclose(found.gains[:3], [4.358, 1.833, 1.609], atol=5e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ["one", "idf", "power"])
def test_against_brute_force(objective, kind):
    rng = np.random.default_rng(OBJECTIVES.index(objective))
    for _ in range(60):
        n, tags, m = int(rng.integers(1, 25)), int(rng.integers(1, 15)), int(rng.integers(1, 4))
        rows = [np.flatnonzero(rng.random(tags) < rng.choice([0.1, 0.4])).tolist() for _ in range(n)]
        indptr, indices = csr(rows)
        weights = tag_weights(np.bincount(indices, minlength=tags), n, kind)
        costs = rng.integers(1, 4, n) if rng.random() < 0.5 else np.ones(n, int)
        limit, rounds = int(rng.integers(1, costs.sum() + 1)), bool(rng.random() < 0.7)
        found = greedy_coverage(
            indptr, indices, tags, limit, costs=costs, objective=objective, m=m, weights=weights, rounds=rounds
        )
        check_against_brute_force(found, rows, weights, objective, m, costs.tolist(), limit, rounds)


def random_rows(seed=0, n=300, tags=80):
    rng = np.random.default_rng(seed)
    popularity = 0.5 / np.arange(1, tags + 1) ** 0.5
    return [np.flatnonzero(rng.random(tags) < popularity).tolist() for _ in range(n)], tags


@pytest.mark.parametrize("objective", ["log", "sqrt"])
def test_gains_never_rise(objective):
    rows, tags = random_rows()
    gains = greedy_coverage(*csr(rows), tags, 300, objective=objective).gains
    assert (np.diff(gains) <= 0).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_smaller_budget_is_a_prefix(objective):
    rows, tags = random_rows(1)
    orders = [greedy_coverage(*csr(rows), tags, k, objective=objective, m=2).order.tolist() for k in (300, 150, 7, 1)]
    assert len(orders[0]) == 300 and sorted(orders[0]) == list(range(300))
    assert all(order == orders[0][: len(order)] for order in orders)


def test_neither_the_order_of_tags_nor_of_items_changes_the_choice():
    rng = np.random.default_rng(2)
    rows, tags = random_rows(2)
    first = greedy_coverage(*csr(rows), tags, 120)
    shuffled_tags = [rng.permutation(row).tolist() for row in rows]
    assert greedy_coverage(*csr(shuffled_tags), tags, 120).order.tolist() == first.order.tolist()
    order = rng.permutation(len(rows))
    weights = rng.random(tags)  # with random weights only equal rows tie, so the order of items decides nothing else
    one = greedy_coverage(*csr(rows), tags, 120, weights=weights)
    two = greedy_coverage(*csr([rows[i] for i in order]), tags, 120, weights=weights)
    assert [rows[i] for i in one.order] == [rows[order[i]] for i in two.order]
    assert np.array_equal(one.gains, two.gains)


def test_nothing_to_cover():
    empty = greedy_coverage(np.zeros(5, int), np.zeros(0, int), 3, 4)
    assert empty.order.tolist() == [0, 1, 2, 3] and not empty.gains.any()
    assert greedy_coverage(np.array([0, 0]), np.zeros(0, int), 0, 1).order.tolist() == [0]
    assert greedy_coverage(*csr(HAND), 8, 3, weights=np.zeros(8)).order.tolist() == [0, 1, 2]
    same = greedy_coverage(*csr([[0, 1]] * 4), 2, 4, objective="set_cover")
    assert same.order.tolist() == [0, 1, 2, 3] and same.rounds == 3


def test_coverage_curve():
    curve = coverage_curve(*csr(HAND), np.array([0, 2, 4, 1, 3]))
    np.testing.assert_allclose(curve, [4 / 7, 6 / 7, 1, 1, 1])
    assert coverage_curve(np.zeros(3, int), np.zeros(0, int), np.array([1, 0])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "logg"}, "Did you mean 'log'"),
        ({"objective": "m_cover", "m": 0}, "m of at least 1"),
        ({"weights": np.ones(3)}, "8 finite weights"),
        ({"weights": np.full(8, -1.0)}, "8 finite weights"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(UserError, match=message):
        greedy_coverage(*csr(HAND), 8, 5, **options)


def test_unknown_weights():
    with pytest.raises(UserError, match="idf"):
        tag_weights(np.ones(2), 2, "idff")


def test_a_read_only_installation_compiles_without_a_cache(monkeypatch):
    import numba

    from selbench.optimize.compiled import compiled

    real, asked = numba.njit, []

    def refuse(signature, **options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return real(signature, **options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert compiled("i8(i8)")(lambda x: x + 1)(1) == 2
    assert [options.get("cache", False) for options in asked] == [True, False]


def test_importing_a_selector_loads_no_compiler_and_no_torch():
    code = (
        "import sys, selbench_plugins.selectors.mads, selbench_plugins.selectors.kcenter, selbench_plugins.selectors.longest;"
        "print([m for m in ('torch', 'transformers', 'numba', 'sklearn', 'scipy', 'faiss') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
