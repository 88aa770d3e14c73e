"""The mean of values in clusters: against the t test, with repeated values, and with too few clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from selbench.statistics.clusters import clustered_mean


def test_with_one_value_per_cluster_it_is_the_one_sample_t_test():
    values = [0.3, 0.1, -0.2, 0.4]
    mean, low, high, p = clustered_mean(values, "abcd", 0.95)
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(0.95)
    assert (mean, p) == (pytest.approx(np.mean(values)), pytest.approx(test.pvalue))
    assert (low, high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_repeating_a_value_within_its_cluster_changes_nothing():
    once = clustered_mean([0.3, 0.1, -0.2], "abc", 0.95)
    assert clustered_mean([0.3, 0.3, 0.1, 0.1, -0.2, -0.2], "aabbcc", 0.95) == pytest.approx(once)


def test_one_cluster_gives_only_a_mean_and_no_values_give_nothing():
    mean, *rest = clustered_mean([0.2, 0.4], "aa", 0.95)
    assert mean == pytest.approx(0.3) and all(map(math.isnan, rest))
    assert all(map(math.isnan, clustered_mean([], [], 0.95)))
