"""The joint correction: against Holm and Tukey, its intervals against its verdicts, and which equalities exclude others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from selbench.statistics.joint import (
    Comparisons,
    Noise,
    _Family,
    from_normal_score,
    joint_tests,
    normal_score,
)
from selbench.statistics.multiplicity import CORRECTIONS, PairTests, corrected, holm_adjusted


def family(means, df=20.0, first=None, variance=0.5) -> tuple[Comparisons, Noise]:
    means = np.asarray(means, dtype=float)
    i, j = np.triu_indices(len(means), 1)
    statistic = np.abs(means[i] - means[j]) / np.sqrt(2 * variance)
    each = np.full(len(i), df)
    first = np.zeros(len(i), bool) if first is None else first
    noise = Noise(np.full(len(means), variance), np.full(len(means), df / 2), np.zeros(len(means)))
    return Comparisons(i, j, statistic, each, 2 * stats.t.sf(statistic, each), first), noise


def test_with_variances_known_it_begins_with_tukeys_range_test():
    of, noise = family([0.0, 3.0, 0.4, 0.2], df=1e6)
    found = joint_tests(of, noise, 0.05)
    tukey = stats.studentized_range.sf(of.statistic.max() * np.sqrt(2), 4, 1e6)
    assert found.p.min() == pytest.approx(tukey, abs=0.012)
    limit = stats.studentized_range.isf(0.05, 4, 1e6) / np.sqrt(2)
    assert found.simultaneous == pytest.approx(np.full(6, limit), rel=0.02)


def test_it_says_less_often_no_than_holm_and_never_finds_less_in_steps():
    rng = np.random.default_rng(0)
    joint = holm = bonferroni = 0
    for _ in range(30):
        of, noise = family(rng.normal(0, 1.5, 5))
        joint += int((joint_tests(of, noise, 0.05).p < 0.05).sum())
        holm += int((holm_adjusted(of.p) < 0.05).sum())
        logic = joint_tests(of, None, 0.05).p < 0.05
        assert (logic | (holm_adjusted(of.p) >= 0.05)).all()  # Shaffer finds what Holm finds
        bonferroni += int(logic.sum())
    assert joint > bonferroni >= holm > 0


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_the_corrected_interval_excludes_zero_exactly_if_there_is_a_verdict(correction):
    rng = np.random.default_rng(1)
    for arms in (2, 3, 4, 9):
        of, _ = family(rng.normal(0, 2, arms), df=6.0)
        table, no = np.zeros(len(of.a), int), np.zeros(len(of.a), bool)
        tests = PairTests(of.a, of.b, table, of.a == 0, no, of.statistic, of.df, of.p)
        found = corrected(tests, correction)
        assert ((of.statistic >= found.limit) == (found.p < 0.05)).all()
        assert (found.p >= of.p - 1e-12).all()
        if correction == "joint":
            assert (found.simultaneous >= found.limit - 1e-9)[found.p < 0.05].all()


def test_equalities_that_exclude_each_other_are_not_tested_together():
    of, noise = family([0.0, 5.0, 5.1])
    tests = _Family(of, noise, 0.05)
    sets = tests.possible_sets(np.array([0]), 1, np.array([1, 2]))
    # Arms 0 and 1 differ, so 0 = 2 and 1 = 2 cannot both be true.
    assert [one.tolist() for one in sets] == [[1]]


def test_the_baseline_is_ahead_and_the_same_table_gives_the_same_figures():
    of, noise = family([0.0, 2.4, 0.1, 0.2])
    ahead, _ = family([0.0, 2.4, 0.1, 0.2], first=of.a == 0)
    plain, led = joint_tests(of, noise, 0.05), joint_tests(ahead, noise, 0.05)
    assert led.p[0] < plain.p[0]
    assert (joint_tests(ahead, noise, 0.05).p == led.p).all()


def test_unknown_p_values_stay_unknown_and_a_tiny_level_is_settled_without_draws():
    nothing = np.full(3, np.nan)
    no = np.zeros(3, bool)
    tests = PairTests(np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros(3, int), no, no, nothing, np.zeros(3), nothing)
    found = corrected(tests, "joint")
    assert np.isnan(found.p).all() and np.isnan(found.limit).all()
    of, noise = family([0.0, 30.0])
    assert joint_tests(of, noise, 1e-5).p[0] == of.p[0]


def test_an_arm_that_is_hardly_known_does_not_hide_what_the_others_show():
    """The comparisons of the last arm have 0.7 degrees of freedom; that of the first two is clear by any method."""
    of, noise = family([0.0, 8.0, 0.1, 0.2])
    own = np.where(of.b == 3, 0.7, of.df)
    of = dataclasses.replace(of, df=own, p=2 * stats.t.sf(of.statistic, own))
    noise = dataclasses.replace(noise, df=np.array([10.0, 10.0, 10.0, 0.35]))
    found = joint_tests(of, noise, 0.05)
    assert of.p[0] * len(of.p) < 0.001
    assert found.p[0] <= of.p[0] * len(of.p) and found.p[0] < 0.05 and found.limit[0] <= of.statistic[0]


def test_the_normal_score_is_near_the_normal_quantile_and_has_an_inverse():
    t, df = np.array([1.0, 2.5, 6.0, 20.0]), np.array([3.0, 5.0, 8.0, 1e9])
    assert normal_score(t[:3], df[:3]) == pytest.approx(stats.norm.isf(stats.t.sf(t[:3], df[:3])), rel=0.02)
    assert from_normal_score(normal_score(t, df), df) == pytest.approx(t, rel=1e-4)
