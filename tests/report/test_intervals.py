"""What stands beside a verdict agrees with it, and boards without anything to test say so."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from selbench.errors import UserError
from selbench.report.board import INTERVALS
from selbench.report.build import build_board
from selbench.report.page.sentences import table_sentence
from selbench.report.tables import board_frame, board_markdown
from selbench.report.words import aggregate_rows, difference_text, first_place_lines, legend_text, summary_lines
from selbench.statistics.differences import TESTS
from selbench.statistics.multiplicity import CORRECTIONS


def scored(**arms) -> pd.DataFrame:
    """A task's scores over seeds, by arm."""
    rows = [{"selector": arm, "seed": seed, "score": s} for arm, some in arms.items() for seed, s in enumerate(some)]
    return pd.DataFrame(rows)


def drawn(tables: int, arms: int, seeds: int, lift: float) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    names = ["random", *(f"a{i}" for i in range(arms - 1))]
    parts = [scored(**{name: rng.normal(lift * (name == "a0"), 1, seeds) for name in names}) for _ in range(tables)]
    return pd.concat([part.assign(task=str(i)) for i, part in enumerate(parts)])


@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("test", TESTS)
def test_the_printed_interval_leaves_out_zero_exactly_if_there_is_a_verdict(test, correction):
    found = build_board(drawn(5, 4, 3, lift=4.0), test=test, correction=correction)
    pairs = [pair for table in found.tables for pair in table.pairs]
    verdicts = [pair.verdict != "tied" for pair in pairs]
    for pair, verdict in zip(pairs, verdicts):
        low, high = pair.ends(found.intervals)
        assert (low > 0 or high < 0) == verdict
        assert pair.p_adjusted >= pair.p
        assert pair.low_simultaneous <= 0 <= pair.high_simultaneous or verdict
        text = difference_text(pair, 4, found.intervals)
        assert text.endswith("▲" if verdict else "=") and ("[+" in text) == verdict
    assert 0 < sum(verdicts) < len(verdicts) or (test, correction) in (("paired", "holm"), ("paired", "bh"))


def test_headings_and_legend_name_the_intervals_and_other_intervals_are_shown_on_request():
    scores = drawn(2, 4, 3, lift=4.0)
    shown = {kind: build_board(scores, intervals=kind) for kind in INTERVALS}
    for kind, name in (("corrected", "corrected"), ("simultaneous", "simultaneous"), ("plain", "uncorrected")):
        markdown = board_markdown(shown[kind])
        assert f"vs random \\[{name} 95 %\\]" in markdown
    assert "leaves out 0 exactly where there is" in legend_text(shown["corrected"])
    assert "beside = it may leave out 0" in legend_text(shown["plain"])
    row = shown["plain"].tables[0].rows[0].vs_baseline
    assert repr(row) == repr(shown["corrected"].tables[0].rows[0].vs_baseline)  # the files hold all
    assert f"{row.low:+.4f}" in difference_text(row, 4, "plain") and row.low != row.low_corrected
    assert {"vs_baseline_low_corrected", "vs_baseline_high_simultaneous"} <= set(board_frame(shown["plain"]).columns)
    with pytest.raises(UserError, match="unknown intervals 'all'"):
        build_board(scores, intervals="all")


def test_means_over_settings_hold_together_and_are_no_verdicts():
    rng = np.random.default_rng(0)
    plain = together = 0
    for _ in range(60):
        parts = [scored(**{a: rng.normal(0, 1, 2) for a in ("random", *"abcde")}).assign(task=str(i)) for i in range(6)]
        found = build_board(pd.concat(parts), test="welch", correction="none")
        rows = [one for one in found.aggregates if one.selector != "random"]
        plain += any(one.low > 0 or one.high < 0 for one in rows)
        together += any(one.low_simultaneous > 0 or one.high_simultaneous < 0 for one in rows)
    assert together <= 7 < plain  # 3 are expected
    heads, _ = aggregate_rows(found)
    assert "mean vs random [simultaneous 95 %]" in heads and "no verdicts" in board_markdown(found)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_a_table_of_equal_scores_says_so_and_has_no_verdicts(level):
    floor = scored(random=[level] * 3, mads=[level] * 3, other=[level] * 3).assign(task="floor")
    found = build_board(pd.concat([floor, drawn(2, 3, 3, lift=0.0)]))
    table = next(one for one in found.tables if one.setting["task"] == "floor")
    (line,) = first_place_lines(found, table)
    assert line.startswith(f"All scores are equal ({level:.4f})") and "no verdict" in line
    assert all(not pair.tested and math.isnan(pair.detectable) and pair.seeds_needed is None for pair in table.pairs)
    assert any(note.startswith("In 1 of 3 tables all scores are equal") for note in found.notes)
    assert difference_text(table.pairs[0], 4, "corrected") == "+0.0000 not tested"
    assert table_sentence(table, found) == line


def test_odd_boards_are_told_in_plain_words():
    one = build_board(scored(random=[0.1, 0.2]))
    assert summary_lines(one) == ["no table has two arms to compare."]
    assert not any("Verdicts are about" in note for note in one.notes)
    seed = build_board(scored(random=[0.1], mads=[0.2]))
    assert first_place_lines(seed, seed.tables[0])[0].startswith("mads scores best, but no difference could be tested")
    assert summary_lines(seed)[0].startswith("1 comparison of an arm with random in 1 table")
    lacking = build_board(pd.concat([drawn(1, 3, 2, 0.0), scored(a=[0.1, 0.3], b=[0.2, 0.1]).assign(task="b")]))
    assert any(line.startswith("1 of 2 tables without an arm `random`") for line in lacking.warnings)


def test_few_seeds_are_counted_and_many_are_not():
    rng = np.random.default_rng(1)
    scores = pd.concat(
        [
            scored(**{a: rng.normal(0.01 * (a == "b"), 1, 3) for a in ("random", "b")}).assign(task=str(i))
            for i in range(8)
        ]
    )
    found = build_board(scores)
    said = [first_place_lines(found, table)[0] for table in found.tables]
    assert any("would take more seeds than anyone runs." in line for line in said)
    assert all("10,000" not in line for line in said)
    assert all(pair.seeds_needed is None or pair.seeds_needed <= 30 for table in found.tables for pair in table.pairs)
