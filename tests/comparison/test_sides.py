"""Which runs two names stand for: arms that can be compared in one setting, under the seeds that both have."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from selbench.comparison.sides import find_sides
from selbench.errors import UserError
from selbench.store.axes import Axes
from selbench.store.records import Record
from selbench.store.setting import Setting

ANY = {"comparison": None, "budget": None, "model": None, "suite": None}
AXES = Axes(
    "pool", "mads", 0.1, model="toy", trainer="trl", suites=("quiz",), pool_key="p", trainer_key="t", suite_keys={"quiz": "q"}
)  # fmt: skip
SETTING = Setting("default", "p", "toy", (("quiz", "q"),), "t", "10%", "pool", "trl", "epochs")


def run(selector: str, seed: int | None, key: str = "", **axes: Any) -> Record:
    """A finished run of an arm; its key names selector, seed and trainer unless one is given."""
    about = dataclasses.replace(AXES, selector=selector, seed=seed, **axes)
    return Record(key or f"{selector}-{seed}-{about.trainer_key}", "finished", about, {})


def keys(*records: Record, a: str = "mads", b: str = "random", **wanted: str) -> tuple[list[str], list[str]]:
    """The keys of the runs on either side."""
    one, other = find_sides(records, a, b, {**ANY, **wanted})
    return [record.key for record in one.records], [record.key for record in other.records]


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        ({"trainer_key": "another"}, False),
        ({"trainer_key": ""}, True),  # the base model is not trained
        ({"budget": "20%"}, False),
        ({"budget": ""}, True),  # `full` has no budget
        ({"pool_key": "another"}, False),
        ({"model": "another"}, False),
        ({"comparison": "another"}, False),
        ({"suites": (("quiz", "another"),)}, False),
        ({"suites": (("quiz", "q"), ("exam", "e"))}, False),
        ({"pool": "renamed", "trainer": "renamed", "match": "steps"}, True),  # keys decide, not names
    ],
)
def test_settings_meet_where_all_agrees_but_what_one_side_lacks(other, meets):
    changed = dataclasses.replace(SETTING, **other)
    assert SETTING.meets(changed) is meets and changed.meets(SETTING) is meets


def test_arms_of_two_trainers_are_never_paired():
    with pytest.raises(UserError, match="no runs in one setting"):
        keys(run("mads", 0), run("random", 0, trainer_key="u"))


def test_a_second_trainer_of_one_arm_is_left_aside():
    found = keys(run("mads", 0), run("random", 0), run("random", 0, trainer_key="u"))
    assert found == (["mads-0-t"], ["random-0-t"])


def test_arms_that_meet_under_two_trainers_are_ambiguous_and_no_option_helps():
    records = [run(name, 0, trainer_key=trainer) for name in ("mads", "random") for trainer in ("t", "u")]
    with pytest.raises(UserError, match="meet in 2 settings: they differ in pool, trainer or suite settings"):
        keys(*records)


def test_an_untrained_arm_meets_both_trainers_and_the_user_is_told():
    base = run("base", None, budget=None, trainer=None, trainer_key=None)
    with pytest.raises(UserError, match="meet in 2 settings"):
        keys(run("mads", 0), run("mads", 0, trainer_key="u"), base, b="base")


def test_sides_are_paired_over_the_seeds_that_both_have_in_ascending_order():
    records = [*(run("mads", seed) for seed in (3, 0, 1)), *(run("random", seed) for seed in (1, 2, 3))]
    assert keys(*records) == (["mads-1-t", "mads-3-t"], ["random-1-t", "random-3-t"])


def test_sides_that_share_no_seed_are_refused():
    with pytest.raises(UserError, match="'mads' and 'random' share no seed"):
        keys(run("mads", 0), run("mads", 2), run("random", 1))


def test_two_arms_without_a_seed_are_compared_once():
    base = run("base", None, budget=None, trainer=None, trainer_key=None)
    other = run("chat", None, budget=None, trainer=None, trainer_key=None)
    one, two = find_sides([base, other], "base", "chat", ANY)
    assert one.seeds == two.seeds == (None,) and len(one.records) == len(two.records) == 1


def test_of_two_runs_of_one_cell_the_later_is_compared():
    assert keys(run("mads", 0, "old"), run("random", 0), run("mads", 0, "new")) == (["new"], ["random-0-t"])


def test_runs_that_did_not_finish_are_no_part_of_an_arm():
    failed = dataclasses.replace(run("mads", 1), status="failed")
    assert keys(run("mads", 0), failed, run("random", 0), run("random", 1)) == (["mads-0-t"], ["random-0-t"])


def test_an_option_narrows_down_to_one_setting_and_leaves_arms_without_a_budget():
    small, large = run("mads", 0), run("mads", 0, "large", budget=0.2)
    full = run("full", 0, budget=None)
    with pytest.raises(UserError, match=r"choose with --budget 10%\|20%"):
        keys(small, large, full, b="full")
    assert keys(small, large, full, b="full", budget="20%") == (["large"], ["full-0-t"])
    assert keys(small, large, full, b="full", budget="0.1") == (["mads-0-t"], ["full-0-t"])
