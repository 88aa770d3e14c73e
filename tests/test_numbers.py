"""One form for each kind of number, an en dash for what is not known."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from selbench import numbers
from selbench.numbers import (
    TRUE_MINUS,
    UNKNOWN,
    bracket_text,
    compact_count_text,
    count_text,
    decimals,
    digits_text,
    duration_text,
    flops_text,
    interval_text,
    money_text,
    number_text,
    p_text,
    percent_text,
    seconds_text,
    signed_percent_text,
    signed_text,
    size_text,
    two_digits_text,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (p_text(0.07), "0.070"),
        (p_text(0.001), "0.001"),
        (p_text(0.0004), "< 0.001"),
        (p_text(0.0), "< 0.001"),
        (number_text(0.20468), "0.2047"),
        (number_text(1439.25, 2), "1,439.25"),
        (number_text(-0.00001), "0.0000"),
        (signed_text(0.0504), "+0.0504"),
        (signed_text(-0.0329), "-0.0329"),
        (signed_text(-0.0329, minus=TRUE_MINUS), "−0.0329"),
        (signed_text(-0.00001), "+0.0000"),
        (signed_text(np.float64(-0.03285), 4), f"{-0.03285:+.4f}"),
        (interval_text(-0.5, 0.25, 2), "-0.50 to +0.25"),
        (interval_text(0.1, 0.25, 2, sign=False), "0.10 to 0.25"),
        (bracket_text(-0.5, 0.25, 2), "[-0.50, +0.25]"),
        (percent_text(0.95), "95 %"),
        (percent_text(0.995), "99.5 %"),
        (signed_percent_text(-0.031), "-3.1 %"),
        (count_text(1438.6), "1,439"),
        (compact_count_text(812), "812"),
        (compact_count_text(9_999), "9,999"),
        (compact_count_text(34_000), "34k"),
        (compact_count_text(5_640_000), "5.64M"),
        (compact_count_text(1.2e9), "1.2B"),
        (digits_text(2e-05), "2e-05"),
        (digits_text(0.81254, 4), "0.8125"),
        (two_digits_text(0.00412), "0.0041"),
        (two_digits_text(0.0), "0"),
        (flops_text(2.634e12), "2.63e+12"),
        (size_text(0), "0 B"),
        (size_text(812), "812 B"),
        (size_text(40_000), "40 kB"),
        (size_text(1.3e6), "1.3 MB"),
        (size_text(2e9), "2.0 GB"),
        (size_text(3.21e12), "3.2 TB"),
        (seconds_text(1.66), "1.7"),
        (seconds_text(99.96), "100"),
        (seconds_text(3214.2), "3,214"),
        (duration_text(40), "40 s"),
        (duration_text(420), "7 min"),
        (duration_text(12_600), "3.5 h"),
        (money_text(3.2, "EUR"), "3.20 EUR"),
        (money_text(1240.4, "EUR"), "1,240 EUR"),
    ],
)
def test_forms(text, said):
    assert text == said


UNIVERSAL = (p_text, number_text, signed_text, percent_text, signed_percent_text, count_text, compact_count_text,
             digits_text, two_digits_text, flops_text, seconds_text)  # fmt: skip


@pytest.mark.parametrize("text", UNIVERSAL, ids=lambda text: text.__name__)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_known_is_a_dash(text, value):
    assert text(value) == UNKNOWN


def test_an_interval_with_an_unknown_end_is_none():
    assert interval_text(math.nan, 1.0, 2) == bracket_text(0.0, math.nan, 2) == ""
    assert number_text(None) == count_text(None) == p_text(None) == money_text(None, "EUR") == UNKNOWN


def test_points_of_a_hundred_have_two_decimals_and_shares_four():
    assert decimals([0.5, math.nan]) == decimals([]) == 4
    assert decimals([0.5, -41.0]) == 2


def test_no_other_module_makes_up_a_form_for_p_values():
    """Python that formats a p value by itself, in whatever file, gives a second form sooner or later."""
    form = re.compile(r"\{[^{}]*\bp(_adjusted|_value)?:[^{}]*[gf]\}|<\s?0\.000?1")
    files = set((ROOT / "selbench").rglob("*.py"))
    assert [path for path in files - {Path(numbers.__file__)} if form.search(path.read_text())] == []
    assert form.search(Path(numbers.__file__).read_text())
