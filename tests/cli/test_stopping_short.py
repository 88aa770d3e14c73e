"""A method that finds fewer examples than its budget: declared by a fact, shown on the board, taken whole with budget=all."""

from __future__ import annotations

import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

PLUGINS = '''
import numpy as np
from selbench.api import Selection, selector

class Filter:
    least: int = 30

    def select(self, pool, budget, context):
        words = np.array([len(example.response.split()) for example in pool])
        kept = [n for n in np.argsort(-words, kind="stable") if words[n] > self.least]
        return Selection.ordered(kept, budget, scores=words)

@selector("long_only", uses_scorer=False, nested=True, may_stop_short=True)
class LongOnly(Filter):
    """Examples of more than `least` words, longest first."""
    least: int = 30

@selector("undeclared", uses_scorer=False, nested=True)
class Undeclared(Filter):
    """The same without saying so."""
    least: int = 30
'''


@pytest.fixture
def run(selbench, settings, tmp_path):
    (tmp_path / "plugins.py").write_text(PLUGINS)
    here = [text for text in settings if not text.startswith("plugin_path=")]

    def ran(*options: str, verb=()):
        return selbench(*verb, *here, f"plugin_path=[{TOYS},{tmp_path / 'plugins.py'}]", *options)

    return ran


def kept(tmp_path) -> dict[tuple[str, str], tuple[int, int | None]]:
    return {
        (one["axes"]["selector"], str(one["axes"]["budget"])): (
            one["selection"]["examples"],
            one["selection"].get("asked"),
        )
        for one in records(tmp_path / "outputs")
    }


def test_asked_and_got_are_in_record_board_page_and_show(run, selbench, tmp_path):
    ran = run("selector=random,long_only", "budget=5,20", "seed=0", verb=["-m"])
    assert ran.status == 0, ran.err
    # Responses have 1 to 40 words: ten have more than 30.
    assert kept(tmp_path) == {
        ("random", "5"): (5, None),
        ("random", "20"): (20, None),
        ("long_only", "5"): (5, None),
        ("long_only", "20"): (10, 20),
    }
    said = "10 of the 20 examples of the budget were selected: the method found no more."
    assert ran.err.count(said) == 1
    assert "stopped short of the budget: long_only (20) with 10 of 20." in ran.err
    page = next((tmp_path / "outputs" / "reports").glob("*.html")).read_text()
    assert "stopped short of the budget" in page and "Asked for" in page
    board = selbench("leaderboard", "--outputs", str(tmp_path / "outputs"), "--csv", str(tmp_path / "board.csv"))
    head, *rows = (line.split(",") for line in (tmp_path / "board.csv").read_text().splitlines())
    asked = {(row[head.index("selector")], row[head.index("budget")]): row[head.index("asked")] for row in rows}
    assert board.status == 0 and asked["long_only", "20"] == "20.0" and asked["random", "20"] == ""
    key = next(one["key"] for one in records(tmp_path / "outputs") if one["selection"].get("asked"))
    assert said in selbench("show", key, "--outputs", str(tmp_path / "outputs")).out


def test_a_board_on_which_nobody_stops_short_says_nothing(run):
    ran = run("selector=random,long_only", "budget=5", "seed=0", verb=["-m"])
    assert ran.status == 0 and "stopped short" not in ran.err and "asked for" not in ran.out


def test_all_takes_what_the_method_finds_in_its_own_order(run, selbench, tmp_path):
    out = tmp_path / "chosen.jsonl"
    ran = run("selector=long_only", "budget=all", "--out", str(out), verb=["select"])
    assert ran.status == 0 and "10 of the 40 examples of the budget" in ran.err, ran.err
    assert next(tmp_path.glob("chosen*ids*")).read_text().split() == [f"{n:04d}" for n in reversed(range(30, 40))]
    grid = run("selector=random,long_only", "budget=all,1.0,100%", "seed=0", verb=["-m"])
    assert grid.status == 0 and len(records(tmp_path / "outputs")) == 2  # all is the share 1.0
    assert kept(tmp_path) == {("random", "1.0"): (40, None), ("long_only", "1.0"): (10, 40)}


def test_tokens_that_are_left_over_are_no_stopping_short(run, tmp_path):
    # The longest responses have 40, 39 and 38 words; all ten of more than 30 have 355.
    ran = run("selector=long_only", "budget=100,400", "budget_unit=tokens", "seed=0", verb=["-m"])
    assert ran.status == 0, ran.err
    assert kept(tmp_path) == {("long_only", "100"): (2, None), ("long_only", "400"): (10, 400)}
    assert "355 of the 400 tokens of the budget" in ran.err


def test_one_that_does_not_say_so_fails_with_what_to_declare(run):
    ran = run("selector=undeclared", "budget=20")
    assert ran.status == 1 and "selected too little: 10 examples where the budget is 20" in ran.err
    assert "may_stop_short=True" in ran.err


def test_one_that_finds_nothing_is_skipped(run, tmp_path):
    ran = run("selector=random,long_only", "selector.long_only.least=99", "budget=5", verb=["-m"])
    assert ran.status == 0 and "finds nothing to select in pool" in ran.err, ran.err
    statuses = {one["axes"]["selector"]: one["status"] for one in records(tmp_path / "outputs")}
    assert statuses == {"random": "finished", "long_only(least=99)": "skipped"}


def test_a_copy_of_its_lengths_is_as_short(run, tmp_path):
    ran = run(
        "selector=random", "selector.match=length", "selector.like=long_only", "budget=20", "seed=0,1", verb=["-m"]
    )
    assert ran.status == 0, ran.err
    assert set(kept(tmp_path).values()) == {(10, 20)}


@pytest.mark.parametrize("budget", ["some", "al"])
def test_another_word_is_refused(run, budget):
    ran = run("selector=random", f"budget={budget}")
    assert ran.status == 2 and "is neither a share (0.15, 15%), a number (7800) nor all" in ran.err
    assert "Traceback" not in ran.err


def test_the_checks_accept_it_and_refuse_one_that_does_not_say_so(selbench, tmp_path):
    (tmp_path / "plugins.py").write_text(PLUGINS)
    here = f"plugin_path={tmp_path / 'plugins.py'}"
    right = selbench("check", "long_only", here, "selector.least=4")
    assert right.status == 0, right.out
    wrong = selbench("check", "undeclared", here, "selector.least=4")
    assert wrong.status == 1 and "selected too little" in wrong.out and "failed  exactly the budget" in wrong.out, (
        wrong.out
    )
