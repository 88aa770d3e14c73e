"""What is borrowed for the noise of a cell: seed effects, shared luck, constant and outlying cells, large boards."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from selbench.report.build import build_board
from selbench.statistics import seed_noise
from selbench.statistics.cells import Cells
from selbench.statistics.seed_effects import own_spread
from selbench.statistics.seed_noise import SeedNoise
from selbench.statistics.training_luck import shared_luck


def cells(scores, arms: int, settings: int = 1, measures: int = 1, **more) -> Cells:
    size = len(scores)
    table = np.repeat(np.arange(size // arms), arms)
    setting = table * settings // (size // arms)
    measure = setting * measures // settings
    return Cells(
        np.asarray(scores, float), np.zeros(size, bool), setting, table, np.tile(np.arange(arms), size // arms),
        measure, **more,
    )  # fmt: skip


def test_the_spread_is_without_what_a_table_shares_under_a_seed():
    rng, tables, arms, seeds = np.random.default_rng(0), 4000, 4, 3
    sd = np.tile([1.0, 1.0, 2.0, 3.0], tables)
    shared = np.repeat(rng.normal(0, 10, (tables, seeds)), arms, axis=0)
    scores = shared + sd[:, None] * rng.normal(size=shared.shape)
    variance, df = own_spread(scores, np.repeat(np.arange(tables), arms), 1 / sd**2)
    assert variance.reshape(tables, arms).mean(0) == pytest.approx(sd[:arms] ** 2, rel=0.08)
    assert df.reshape(tables, arms)[0].sum() == pytest.approx((arms - 1) * (seeds - 1))


def test_a_cell_alone_keeps_its_variance_and_missing_seeds_are_left_out():
    scores = np.array([[1.0, 2.0, 3.0], [1.0, 5.0, np.nan], [2.0, np.nan, np.nan]])
    variance, df = own_spread(scores, np.array([0, 1, 1]), np.ones(3))
    assert (variance[0], df[0]) == (pytest.approx(1.0), 2)
    assert (variance[1], df[1]) == (pytest.approx(8.0), 1)  # its neighbour has one seed and takes no part
    assert np.isnan(variance[2]) and df[2] == 0
    # A shift of all arms under one seed changes nothing, with missing seeds too.
    table, gaps = np.zeros(3, int), np.array([[1.0, 2, 4], [0, 3, np.nan], [np.nan, 1, 5]])
    before, _ = own_spread(gaps, table, np.ones(3))
    after, _ = own_spread(gaps + np.array([0.0, 7.0, -3.0]), table, np.ones(3))
    assert after == pytest.approx(before, abs=1e-4)


def test_luck_that_tasks_of_one_training_share_is_found():
    rng, arms, tables, seeds = np.random.default_rng(0), 6, 12, 3
    own, luck = rng.normal(size=(tables * arms, seeds)), np.tile(rng.normal(size=(arms, seeds)), (tables, 1))
    table, arm = np.repeat(np.arange(tables), arms), np.tile(np.arange(arms), tables)
    origin, training = np.zeros(len(table), int), table % 3
    found = [
        shared_luck(np.sqrt(1 - r) * own + np.sqrt(r) * luck, table, arm, origin, training)[0, arms] for r in (0, 0.9)
    ]
    assert found[0] < 0.1 and found[1] > 0.5
    other = shared_luck(np.sqrt(0.1) * own + np.sqrt(0.9) * luck, table, arm, table, table)
    assert not other.any()  # other models and pools share no training


def test_constant_cells_take_no_part_and_are_told_of():
    rng = np.random.default_rng(0)
    rows = [
        {"selector": arm, "seed": seed, "score": 1.0 if task < 2 else rng.normal(), "budget": budget,
         "amount": float(budget), "task": f"t{task}", "suite": "s"}
        for task in range(4) for budget in "123" for arm in ("random", "a", "b", "c") for seed in range(2)
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    board, alone = build_board(scores), build_board(scores[scores["task"] > "t1"])
    known = {(t.setting["task"], t.budget): t for t in board.tables}
    for table in alone.tables:
        same = known[table.setting["task"], table.budget]
        assert [p.se for p in same.pairs] == pytest.approx([p.se for p in table.pairs], rel=1e-4)
    constant = known["t0", "1"]
    assert all(row.constant for row in constant.rows) and all(pair.verdict == "tied" for pair in constant.pairs)
    assert any("24 of 48 cells with equal scores" in note for note in board.notes)
    assert not any("equal scores under all" in note for note in alone.notes)


def test_ties_within_the_range_are_no_floor():
    found = cells([[1.0, 1.0], [0.0, 2.0], [2.0, 2.0], [3.0, 1.0], [0.0, 0.0], [3.0, 3.0]], 6)
    assert found.constant.tolist() == [False, False, False, False, True, True]


def test_an_outlying_cell_stands_by_itself_and_is_told_of():
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(72, 5))
    scores[7] *= 12
    noise = SeedNoise(cells(scores, 6, settings=4))
    assert noise.outlying[7] and noise.outlying.sum() < 8
    within = np.ones(1, bool)
    loud, quiet = (noise.of_pairs(np.array([i]), np.array([i + 1]), within) for i in (7, 13))
    assert loud.prior_a[0] < 0.1 < 1 < quiet.prior_a[0]
    rows = [
        {"selector": "random" if arm == 1 else f"a{arm}", "seed": seed, "score": scores[table * 6 + arm, seed],
         "budget": str(table % 3), "amount": table % 3, "model": f"m{table // 3}"}
        for table in range(12) for arm in range(6) for seed in range(5)
    ]  # fmt: skip
    board = build_board(pd.DataFrame(rows))
    assert any("random (m0 · 1)" in note and "far noisier" in note for note in board.notes)
    assert [row.arm for row in board.tables[1].rows if row.outlying] == ["random"]


def test_a_variance_is_never_below_that_of_the_scores_steps():
    noise = SeedNoise(cells(np.round(np.random.default_rng(0).normal(size=(12, 2)) * 0.4), 4, settings=3))
    a, b = np.arange(0, 12, 4), np.arange(1, 12, 4)
    assert noise.of_pairs(a, b, np.ones(3, bool)).a.min() >= 1 / 12


def test_a_large_board_is_fitted_in_parts_of_whole_settings(monkeypatch):
    monkeypatch.setattr(seed_noise, "PART", 60)
    board = cells(np.random.default_rng(0).normal(size=(240, 3)), 6, settings=10)
    noise = SeedNoise(board)
    sizes = [len(part) for part in noise._parts]
    assert sum(sizes) == 240 and len(sizes) > 1 and max(sizes) <= 120
    values, df, prior = noise.of_cells()
    assert np.isfinite(values).all() and (prior > 0).all() and (df > prior).all()


def test_a_board_of_300_tables_takes_seconds():
    board = cells(np.random.default_rng(0).normal(size=(1800, 3)), 6, settings=100)
    start = time.process_time()
    SeedNoise(board).of_pairs(np.arange(0, 1800, 6), np.arange(1, 1800, 6), np.ones(300, bool))
    assert time.process_time() - start < 20
