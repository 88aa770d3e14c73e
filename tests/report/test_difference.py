"""`Difference.turned`: a against b becomes b against a."""

from __future__ import annotations

import dataclasses
import math

from selbench.report.board import Difference

FOUND = Difference(
    "mads", "random", 0.5, 0.1, 0.9, 0.02, 0.04, "better", 0.2, 0.1, 0.17, 3, 0.6, 4, 0.05, 0.95, -0.1, 1.1
)  # fmt: skip


def test_turned_swaps_the_arms_and_mirrors_mean_interval_and_verdict():
    turned = FOUND.turned()
    assert (turned.a, turned.b, turned.mean, turned.low, turned.high) == ("random", "mads", -0.5, -0.9, -0.1)
    assert (turned.low_corrected, turned.high_corrected) == (-0.95, -0.05)
    assert (turned.low_simultaneous, turned.high_simultaneous) == (-1.1, 0.1)
    assert turned.verdict == "worse"
    same = ("p", "p_adjusted", "se", "se_seed", "se_item", "seeds", "detectable", "seeds_needed")
    assert all(getattr(turned, name) == getattr(FOUND, name) for name in same)


def test_turned_twice_is_the_same():
    assert FOUND.turned().turned() == FOUND
    assert dataclasses.replace(FOUND, verdict="tied").turned().verdict == "tied"


def test_unknown_figures_stay_unknown_when_turned():
    turned = Difference("a", "b", math.nan).turned()
    assert all(math.isnan(value) for value in (turned.mean, turned.low, turned.high)) and turned.verdict == "tied"
