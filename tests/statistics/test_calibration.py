"""Simulated boards: false verdicts, coverage and power (benchmarks/bench_calibration.py has more conditions)."""

from __future__ import annotations

import math

import bench_calibration as bench
import pytest

CONDITIONS = {condition.name: condition for condition in (*bench.CONDITIONS, *bench.KINDS)}
BOARDS = 25
LOOSE = 3  # standard errors of the simulation that are tolerated: a few figures are checked in each of 20 conditions


@pytest.mark.parametrize("seeds", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 5, 10))])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("equal variances", marks=pytest.mark.slow),
        "cells differ, 4 df",
        pytest.param("cells differ, one arm x 3", marks=pytest.mark.slow),
        pytest.param("heavy tails, t with 3 df", marks=pytest.mark.slow),
        pytest.param("seeds shared, correlation 0.5", marks=pytest.mark.slow),
    ],
)
def test_moderated_verdicts_are_calibrated(name, seeds):
    figures = bench.simulate(CONDITIONS[name], seeds, BOARDS, rng_seed=seeds, tests=["moderated"])["moderated"]
    error = figures.error
    assert not figures.false_first > 0.05 + LOOSE * error["false_first"]  # NaN: no arm is special
    assert figures.false_others <= 0.05 + LOOSE * error["false_others"]
    assert figures.any_false <= 0.05 + LOOSE * error["any_false"]
    assert 0.93 - LOOSE * error["coverage"] <= figures.coverage <= 0.97 + LOOSE * error["coverage"]


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("name", ["1 setting, 1 budget, 4 arms", "2 measures, 1 budget, 4 arms"])
def test_a_small_board_that_has_little_to_borrow_is_cautious_not_wrong(name, seeds):
    figures = bench.simulate(CONDITIONS[name], seeds, 5 * BOARDS, rng_seed=seeds, tests=["moderated"])["moderated"]
    assert not figures.false_first > 0.05 + LOOSE * figures.error["false_first"]
    assert figures.false_others <= 0.05 + LOOSE * figures.error["false_others"]


def test_borrowing_finds_more_where_seeds_are_few():
    few = bench.simulate(CONDITIONS["cells differ, 4 df"], 2, BOARDS)
    assert few["moderated"].power > 2 * max(few["paired"].power, few["welch"].power)
    three = bench.simulate(CONDITIONS["cells differ, 4 df"], 3, BOARDS)
    assert three["moderated"].power > max(three["paired"].power, three["welch"].power) + 0.15


@pytest.mark.parametrize(("seed_sd", "item_sd"), [(1.0, 0.3), (0.3, 1.0)])
def test_item_and_seed_noise_together_are_calibrated(seed_sd, item_sd):
    share, error = bench.simulate_items(2, 12, seed_sd, item_sd)
    assert share <= 0.05 + LOOSE * error
    assert share > 0.005


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("2 of 4 tasks constant", 2),
        pytest.param("seeds shared 0.9, not in one task", 2, marks=pytest.mark.slow),
        pytest.param("seeds shared 0.9, not in one task", 5, marks=pytest.mark.slow),
        pytest.param("first arm x 5 in one task", 2, marks=pytest.mark.slow),
        pytest.param("first arm x 5 in one task", 3, marks=pytest.mark.slow),
        pytest.param("seeds shared 0.95, cells equal", 3, marks=pytest.mark.slow),
        pytest.param("steps as coarse as the noise", 2, marks=pytest.mark.slow),
    ],
)
def test_verdicts_hold_where_tasks_differ_in_kind(name, seeds):
    figures = bench.simulate(CONDITIONS[name], seeds, 2 * BOARDS, rng_seed=seeds, tests=["moderated"])["moderated"]
    for share in ("false_first", "false_others"):
        if not math.isnan(getattr(figures, share)):
            assert getattr(figures, share) <= 0.05 + LOOSE * figures.error[share]
            assert getattr(figures, share) < 0.10
    assert figures.any_false <= 0.05 + LOOSE * figures.error["any_false"]


def test_more_power_is_left_after_the_joint_correction_than_after_holm():
    figures = bench.simulate(CONDITIONS["equal variances"], 2, 8, tests=["moderated", "welch"])
    assert figures["moderated"].power_corrected > 0.22 > 0.1 > figures["welch"].power_corrected
    assert figures["moderated"].any_false_partly <= 0.05 + LOOSE * figures["moderated"].error["any_false_partly"]
