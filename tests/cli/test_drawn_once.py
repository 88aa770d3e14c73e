"""What a method draws at random once for all seeds: declared by the selector, in the record, said on the board."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

PLUGINS = '''
from dataclasses import dataclass
from selbench.api import Selection, selector

@dataclass
class Drawing:
    own_seed: int | None = None

    def select(self, pool, budget, context):
        import numpy as np
        rng = context.rng if self.own_seed is None else np.random.default_rng(self.own_seed)
        return Selection.ordered(rng.permutation(len(pool)), budget)

@selector("always", uses_scorer=False, stochastic=True, nested=True, drawn_once="codebook")
class Always(Drawing):
    """Says so in its decorator, with one name."""

@selector("two_things", uses_scorer=False, stochastic=True, nested=True, drawn_once=["codebook", "set of anchors"])
class TwoThings(Drawing):
    """Two names."""

@selector("by_option", uses_scorer=False, nested=True)
class ByOption(Drawing):
    """As its options say; `own_seed` is shared by all seeds."""
    def __post_init__(self):
        self.stochastic = self.own_seed is None
        self.drawn_once = () if self.stochastic else ("codebook",)

@dataclass
class Sampling(Drawing):
    most: int = 10
    def drawn_once(self, pool, target):
        return [f"sample of {self.most} examples"] if len(pool) > self.most else []

@selector("by_pool", uses_scorer=False, stochastic=True, nested=True)
class ByPool(Sampling):
    """Inherits the fact: a sample of pools that are larger than that."""

@selector("a_number", uses_scorer=False, drawn_once=3)
class ANumber(Drawing):
    """No name."""

@selector("falls_over", uses_scorer=False)
class FallsOver(Drawing):
    """A method that fails."""
    def drawn_once(self, pool, target):
        return pool["x"]
'''
SAID = "shared by all seeds: its luck is not in the interval."


@pytest.fixture
def grid(selbench, settings, tmp_path):
    """Runs these selectors over these seeds; gives the lines on standard output that say what is shared."""
    (tmp_path / "plugins.py").write_text(PLUGINS)

    def ran(*options: str, seeds: str = "0,1"):
        here = [text for text in settings if not text.startswith(("selector=", "plugin_path="))]
        found = selbench(
            "-m", *here, f"plugin_path=[{TOYS},{tmp_path / 'plugins.py'}]", "budget=4", f"seed={seeds}", *options
        )
        return found, [line for line in found.out.splitlines() if SAID in line]

    return ran


def test_the_board_names_the_shared_arm_and_not_the_other(grid, selbench, tmp_path):
    ran, said = grid("selector=random,by_option", "selector.by_option.own_seed=null,0")
    assert ran.status == 0, ran.err
    # Seed 0 of its own is another thing than the run's seed 0: two arms, of which one is shared.
    assert said == [f"by_option(own_seed=0): codebook {SAID}"]
    by_arm = {}
    for one in records(tmp_path / "outputs"):
        by_arm.setdefault(one["axes"]["selector"], []).append(one)
    assert {name: [one["selection"].get("drawn_once", []) for one in rows] for name, rows in by_arm.items()} == {
        "random": [[], []],
        "by_option": [[], []],
        "by_option(own_seed=0)": [["codebook"], ["codebook"]],
    }
    selections = {name: {one["stages"]["selection"] for one in rows} for name, rows in by_arm.items()}
    assert [len(found) for found in selections.values()].count(2) == 2 and len(selections["by_option(own_seed=0)"]) == 1

    board = selbench("leaderboard", "--outputs", str(tmp_path / "outputs"), "--json")
    assert sum(SAID in note for note in json.loads(board.out)["notes"]) == 1
    compared = selbench("compare", "by_option(own_seed=0)", "random", "--outputs", str(tmp_path / "outputs"))
    assert compared.status == 0 and compared.out.count(SAID) == 1, compared.out + compared.err
    for end in ("html", "md"):
        files = list((tmp_path / "outputs" / "reports").glob(f"*.{end}"))
        assert files and all(SAID in file.read_text() for file in files)


def test_where_all_arms_share_all_are_named_and_one_seed_is_enough(grid):
    ran, said = grid("selector=always,by_option", "selector.by_option.own_seed=5", seeds="0")
    assert ran.status == 0, ran.err
    assert len(said) == 1 and "always" in said[0] and "by_option(own_seed=5)" in said[0]


def test_several_things_facts_of_the_pool_and_what_is_inherited(grid):
    ran, said = grid(
        "selector=random,two_things,by_pool",
        "selector.by_pool.most=10,40",
        "selector.random.match=length",
        "selector.random.like={name:by_option,own_seed:1}",
    )
    assert ran.status == 0, ran.err
    shared = {what: set(arms.split(", ")) for arms, _, what in (line.partition(": ") for line in said)}
    assert shared == {
        f"codebook {SAID}": {"two_things", "random like by_option(own_seed=1)"},
        f"set of anchors {SAID}": {"two_things"},
        f"sample of 10 examples {SAID}": {"by_pool"},
    }


def test_a_board_without_shared_luck_says_nothing(grid):
    ran, said = grid("selector=random,by_option")
    assert ran.status == 0 and said == []


@pytest.mark.parametrize("name", ["a_number", "falls_over"])
@pytest.mark.parametrize("verb", [["-m"], ["plan", "-m"]], ids=" ".join)
def test_a_broken_fact_is_refused_before_any_cell(selbench, settings, tmp_path, name, verb):
    (tmp_path / "plugins.py").write_text(PLUGINS)
    here = [text for text in settings if not text.startswith(("selector=", "plugin_path="))]
    ran = selbench(
        *verb, *here, f"plugin_path=[{TOYS},{tmp_path / 'plugins.py'}]", "budget=4", f"selector=random,{name}"
    )
    assert ran.status == 2 and "drawn_once" in ran.err and "Traceback" not in ran.err, ran.err
    assert not list((tmp_path / "outputs").glob("runs/*"))
