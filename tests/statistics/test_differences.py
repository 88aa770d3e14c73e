"""Tests of differences, corrections and power, against SciPy, statsmodels and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from selbench.report.build import build_board
from selbench.statistics.borrowing import inverse_trigamma
from selbench.statistics.item_noise import item_variance
from selbench.statistics.multiplicity import adjust_p_values, holm_adjusted


def scores(rows: dict[str, list[float]], **more) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"selector": arm, "seed": seed, "score": score, "budget": "10%", "amount": 0.1, **more}
            for arm, values in rows.items()
            for seed, score in enumerate(values)
            if not math.isnan(score)
        ]
    )


ARMS = {"random": [0.10, 0.21, 0.33], "mads": [0.20, 0.35, 0.41], "other": [0.15, 0.15, 0.35]}


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("welch", stats.ttest_ind(ARMS["mads"], ARMS["random"], equal_var=False)),
        ("paired", stats.ttest_rel(ARMS["mads"], ARMS["random"])),
    ],
)
def test_plain_tests_are_those_of_scipy(test, expected):
    row = build_board(scores(ARMS), test=test, correction="none").tables[0].rows[0]
    interval = expected.confidence_interval()
    assert row.vs_baseline.p == pytest.approx(expected.pvalue)
    assert (row.vs_baseline.low, row.vs_baseline.high) == pytest.approx((interval.low, interval.high))


def test_pairing_uses_the_seeds_that_both_have():
    table = scores({"random": [0.1, 0.2, 0.4, math.nan], "mads": [math.nan, 0.3, 0.6, 9.0]})
    pair = build_board(table, test="paired").tables[0].pairs[0]
    assert (pair.a, pair.seeds) == ("mads", 2) and pair.mean == pytest.approx(0.15)


def test_equal_differences_leave_the_noise_unknown():
    pair = build_board(scores({"random": [0.1, 0.2], "mads": [0.2, 0.3]}), test="paired").tables[0].pairs[0]
    assert math.isnan(pair.p) and pair.verdict == "tied"


def test_one_seed_and_nothing_to_borrow_is_no_verdict():
    board = build_board(scores({"random": [0.1], "mads": [0.9]}))
    pair = board.tables[0].pairs[0]
    assert pair.verdict == "tied" and math.isnan(pair.p) and math.isnan(pair.detectable)
    assert any("unknown seed noise" in note for note in board.notes)


def test_one_seed_borrows_from_cells_that_have_several():
    rng = np.random.default_rng(0)
    many = [scores({arm: list(rng.normal(0, 0.01, 4)) for arm in ("random", "mads")}, model=f"m{i}") for i in range(10)]
    board = build_board(pd.concat([*many, scores({"random": [0.1], "mads": [0.9]}, model="new")]))
    pair = next(table for table in board.tables if table.setting["model"] == "new").pairs[0]
    assert pair.verdict == "better" and 0.003 < pair.se < 0.05
    assert any("borrowed from cells" in note for note in board.notes)


def test_lower_is_better_turns_differences_and_ranks():
    table = build_board(scores(ARMS, higher_is_better=False), test="welch", correction="none").tables[0]
    assert [row.arm for row in table.rows][-1] == "mads"
    assert table.rows[-1].vs_baseline.mean < 0


def test_ranks_are_shared_by_arms_that_cannot_be_told_apart():
    near = {"random": [0.0, 0.1, 0.2, 0.1], "a": [5.0, 5.1, 5.2, 5.3], "b": [5.2, 5.1, 5.0, 5.3]}
    rows = {row.arm: row for row in build_board(scores(near), test="welch").tables[0].rows}
    assert (rows["a"].rank_low, rows["a"].rank_high) == (rows["b"].rank_low, rows["b"].rank_high) == (1, 2)
    assert (rows["random"].rank_low, rows["random"].rank_high) == (3, 3)


def test_base_has_no_seed_and_stands_unranked_in_every_table():
    free = pd.DataFrame([{"selector": "base", "seed": -1, "score": 0.05, "budget": "", "amount": 0.0}])
    table = pd.concat([scores(ARMS), scores(ARMS).assign(budget="20%", amount=0.2), free])
    board = build_board(table, test="welch", correction="none")
    assert [t.budget for t in board.tables] == ["10%", "20%"]
    for one in board.tables:
        base = one.rows[-1]
        assert base.arm == "base" and base.reference and base.rank_low == 0
        expected = stats.ttest_1samp(ARMS["random"], 0.05).pvalue
        assert base.vs_baseline.p == pytest.approx(expected)


@pytest.mark.parametrize("correction", ["none", "joint", "holm-table", "holm", "bh"])
def test_full_as_baseline_is_compared_with_every_arm_of_the_budget(correction):
    rng = np.random.default_rng(0)
    arms = {arm: list(level + rng.normal(0, 0.01, 5)) for arm, level in (("random", 0), ("mads", 1), ("other", 0))}
    full = scores({"full": list(1 + rng.normal(0, 0.01, 5))}).assign(budget="", amount=1.0)
    board = build_board(pd.concat([scores(arms), full]), baseline="full", correction=correction, test="welch")
    assert (
        board.counts["verdicts"] == {"better": 0, "worse": 2, "tied": 1, "untested": 0} and board.counts["cells"] == 3
    )
    one = next(found for found in board.aggregates if found.selector == "mads")
    assert one.wins_full == one.wins_baseline == (0, 1, 0) and one.wins_random == (1, 0, 0)


def test_corrections_over_their_families():
    p = np.array([0.01, 0.02, 0.03, np.nan])
    assert holm_adjusted(p[:3]) == pytest.approx([0.03, 0.04, 0.04])
    family = np.zeros(4, int)
    bh = adjust_p_values(p, family, "bh")
    assert bh.p[:3] == pytest.approx([0.03, 0.03, 0.03]) and np.isnan(bh.p[3])
    assert bh.level[0] == pytest.approx(0.05)
    assert adjust_p_values(p, np.arange(4), "holm-table").p[:3] == pytest.approx(p[:3])


def test_holm_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).random(40) ** 3
    assert holm_adjusted(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_inverse_trigamma():
    from scipy.special import polygamma

    x = np.array([0.05, 0.3, 1.0, 7.0, 500.0])
    assert inverse_trigamma(polygamma(1, x)) == pytest.approx(x)


def test_item_noise_is_what_other_items_change_and_not_what_seeds_do():
    rng = np.random.default_rng(1)
    items, seeds = 4000, 3
    values = rng.normal(0, 2, items) + rng.normal(0, 5, (seeds, items)) + rng.normal(0, 1, (seeds, 1))
    variance, df = item_variance(values, np.array([0, items // 2]))
    assert variance == pytest.approx(4 / items, rel=0.35)  # not (4 + 25 / 3) / items
    assert df == items - 2
    single, _ = item_variance(values[:1], np.array([0, items // 2]))
    assert single == pytest.approx(29 / items, rel=0.1)
