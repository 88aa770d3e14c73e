"""Power: against the noncentral t distribution, against simulated experiments, and on whole simulated boards."""

from __future__ import annotations

import math

import bench_detectable as bench
import numpy as np
import pytest
from scipy import stats

from selbench.statistics.foreseen import foreseen_effect
from selbench.statistics.power import MOST_SEEDS, chance_to_show, detectable_effect, seeds_needed


@pytest.mark.parametrize("df", [1.5, 4.0, 20.0])
def test_with_a_known_spread_it_is_the_power_of_the_noncentral_t_test(df):
    limit = stats.t.isf(0.025, df)
    effect = np.array([1.0, limit, 2 * limit])
    found = chance_to_show(effect, df, limit, math.inf, unsure=0.0)
    assert found == pytest.approx(stats.nct.sf(limit, df, effect), abs=0.015)
    assert chance_to_show(detectable_effect(df, limit), df, limit) == pytest.approx(0.8, abs=0.005)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_with_an_estimated_spread_it_is_the_power_averaged_over_what_was_stated(seeds):
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 40_000, seeds))  # paired differences of two experiments
    df, limit = seeds - 1, stats.t.isf(0.025, seeds - 1)
    stated = detectable_effect(df, limit, unsure=0.0) * before.std(1, ddof=1) / math.sqrt(seeds)
    statistic = (after.mean(1) + stated) / (after.std(1, ddof=1) / math.sqrt(seeds))
    assert (statistic > limit).mean() == pytest.approx(0.8, abs=0.015)
    usual = detectable_effect(df, limit, math.inf, unsure=0.0) * before.std(1, ddof=1) / math.sqrt(seeds)
    assert ((after.mean(1) + usual) / (after.std(1, ddof=1) / math.sqrt(seeds)) > limit).mean() < 0.75


def test_what_is_unknown_stays_unknown():
    assert np.isnan(detectable_effect([np.nan, 5.0], [2.0, np.nan])).all()
    assert len(detectable_effect([], [])) == 0


def test_seeds_needed_turns_detectable_round():
    df, level = 6.0, 0.01
    size = detectable_effect(df, stats.t.isf(level / 2, df)) * math.sqrt(2.0 / 4)
    assert seeds_needed(size * 1.002, 2.0, 0.0, 4, df, level) == 4
    assert seeds_needed(size * 0.99, 2.0, 0.0, 4, df, level) == 5
    assert np.isnan(seeds_needed(0.1, 1.0, 1.0, 4, df, level))  # the items alone are too noisy
    few = seeds_needed(np.linspace(0.05, 3, 50), 2.0, 0.0, 4, df, level)
    assert np.nanmax(few) <= MOST_SEEDS and np.isnan(few[0]) and (np.diff(few[~np.isnan(few)]) <= 0).all()


def test_one_seed_or_one_arm_can_show_nothing():
    assert math.isinf(foreseen_effect(4, 1, 1)) and math.isinf(foreseen_effect(1, 1, 5))


def test_more_arms_need_larger_differences_and_more_seeds_or_tables_smaller_ones():
    assert foreseen_effect(8, 1, 3) > foreseen_effect(3, 1, 3) > foreseen_effect(3, 1, 5)
    assert foreseen_effect(4, 1, 2) > foreseen_effect(4, 6, 2)
    assert foreseen_effect(4, 2, 3, known_df=2) > foreseen_effect(4, 2, 3) > foreseen_effect(4, 2, 3, correction="none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "correction"),
    [(bench.Shape(4, 6, 2), "joint"), (bench.Shape(4, 4, 3), "holm-table")],
)
def test_what_boards_and_plans_call_detectable_is_detected(shape, correction):
    found = bench.simulate(shape, 90 // shape.tables, correction)
    # Trials of one board are alike: a Monte-Carlo error of about 5 percent, twice.
    assert found.board == pytest.approx(0.8, abs=0.1)
    assert found.plan == pytest.approx(0.8, abs=0.12)


def test_what_a_plan_calls_detectable_counts_the_noise_of_items():
    known, left_out = bench.simulate_items(3, 0.05, 0.1, boards=6)
    assert known == pytest.approx(0.8, abs=0.2) and left_out < 0.5  # 36 trials
