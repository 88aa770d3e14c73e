"""Exact repeats of a selection, beside the number that a random selection of that size holds."""

from __future__ import annotations

from itertools import combinations

import pytest

from selbench.api import Example
from selbench.data.repeats import exact_repeats, expected_exact_repeats


def _pool(texts: str) -> list[Example]:
    """One example per letter; equal letters are exact duplicates."""
    return [Example(str(i), letter, "answer") for i, letter in enumerate(texts)]


@pytest.mark.parametrize("texts", ["aab", "aaaa", "abcd", "aaabbcdd", "a"])
def test_the_expected_number_is_the_mean_over_all_selections(texts):
    pool = _pool(texts)
    for picks in range(1, len(pool) + 1):
        counts = [exact_repeats(chosen) for chosen in combinations(pool, picks)]
        assert expected_exact_repeats(pool, picks) == pytest.approx(sum(counts) / len(counts), abs=1e-9)


def test_a_text_that_occurs_three_times_counts_twice_whatever_its_ids():
    assert exact_repeats(_pool("abab" + "a")) == 3 and exact_repeats([]) == 0


@pytest.mark.parametrize(
    "other", [{"system": "be brief"}, {"input": "2"}, {"history": (("hello", "good day"),)}, {"response": "another"}]
)
def test_examples_that_differ_in_one_part_are_no_repeats(other):
    said = {"instruction": "ask", "response": "answer"}
    assert exact_repeats([Example("1", **said), Example("2", **{**said, **other})]) == 0


def test_metadata_makes_no_difference():
    assert exact_repeats([Example("1", "ask", "answer", source="a"), Example("2", "ask", "answer", source="b")]) == 1
