"""planted_truth by hand: ten examples of four skills, some wrong, some asked twice."""

from __future__ import annotations

import math

import pytest
from selbench_plugins.suites.planted_truth import PlantedTruth

from selbench.api import Chosen, Context, Example, LoadedPool, Pool, UserError

#        id   skill     corrupted  duplicate_of
ROWS = (
    ("0", "add", False, ""),
    ("1", "add", True, ""),
    ("2", "add", False, "0"),
    ("3", "colour", False, ""),
    ("4", "colour", False, "3"),
    ("5", "colour", False, "3"),
    ("6", "sort", True, ""),
    ("7", "sort", False, ""),
    ("8", "first", False, ""),
    ("9", "add", False, "0"),
)
POOL = Pool([Example(id, id, id) for id, *_ in ROWS])
LABELS = {id: {"skill": skill, "corrupted": wrong, "duplicate_of": first} for id, skill, wrong, first in ROWS}


def scores(ids: str, **options) -> dict[str, float]:
    found = PlantedTruth(**options).evaluate(Chosen(tuple(ids), POOL, LABELS), Context())
    return {score.task: score.value for score in found}


def test_scores_of_a_selection_worked_out_by_hand():
    # 0 and 2 ask the same question, and so do 4 and 5, whose first example was not chosen; 1 is wrong.
    found = scores("012457")
    assert found["faults"] == pytest.approx(5 / 6) and found["repeats"] == pytest.approx(4 / 6)
    # Three of add, two of colour, one of sort: H = 1/2 ln 2 + 1/3 ln 3 + 1/6 ln 6, of four skills.
    entropy = math.log(2) / 2 + math.log(3) / 3 + math.log(6) / 6
    assert found["skills"] == pytest.approx(math.exp(entropy) / 4)


def test_the_best_and_the_worst():
    assert scores("0378") == {"faults": 1.0, "repeats": 1.0, "skills": pytest.approx(1.0)}
    assert scores("1")["faults"] == 0 and scores("1")["skills"] == pytest.approx(1 / 4)


def test_wanted_skills_are_counted_in_place_of_all():
    assert scores("0347", skills=["add", "colour"]) == {"faults": 1.0, "repeats": 0.75, "right_skill": 0.75}


def test_every_score_is_a_headline_between_0_and_1():
    for score in PlantedTruth().evaluate(Chosen(POOL.ids, POOL, LABELS), Context()):
        assert score.headline and score.higher_is_better and 0 <= score.value <= 1


@pytest.mark.parametrize(
    ("labels", "skills", "said"),
    [
        ({}, [], "pool 'pool' has no skill or corrupted or duplicate_of"),
        ({"0": {"skill": "add"}}, [], "has no corrupted or duplicate_of"),
        (LABELS, ["colours"], "unknown skill 'colours'"),
    ],
)
def test_what_it_cannot_score_is_refused(labels, skills, said):
    with pytest.raises(UserError, match=said):
        PlantedTruth(skills=skills).check_pool(LoadedPool(POOL, labels))
