"""The planted pool: its options do what they promise, and its examples do not reveal the hidden labels."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.planted.items import held_out_items
from selbench.planted.pool import PlantedPool, _generated_rows
from selbench.planted.skills import skills


@pytest.fixture(scope="module")
def loaded():
    return PlantedPool().load()


def _share(loaded, label) -> float:
    return float(np.mean([bool(labels[label]) for labels in loaded.labels.values()]))


def _said(example) -> tuple[str, ...]:
    return example.instruction, example.input, example.response


def test_the_same_options_give_the_same_pool():
    one, two, other = (PlantedPool(size=500, seed=seed).load() for seed in (3, 3, 4))
    assert one.pool.fingerprint == two.pool.fingerprint
    assert one.labels == two.labels
    assert one.pool.fingerprint != other.pool.fingerprint


@pytest.mark.parametrize("size", [1, 2, 20, 333])
def test_every_size_is_met_exactly(size):
    assert len(PlantedPool(size=size).load().pool) == size
    assert len(PlantedPool(size=size, exact_duplicates=0.5, near_duplicates=0.49).load().pool) == size


def test_a_large_pool_takes_seconds():
    began = time.process_time()
    assert len(PlantedPool(size=50_000).load().pool) == 50_000
    assert time.process_time() - began < 10


def test_shares_are_what_the_options_say():
    options = PlantedPool(size=4000, zipf=0, exact_duplicates=0.2, near_duplicates=0.1, corrupted=0.3, verbose=0.25)
    loaded = options.load()
    assert _share(loaded, "corrupted") == pytest.approx(0.3, abs=0.02)
    assert _share(loaded, "verbose") == pytest.approx(0.25, abs=0.02)
    exact = len(loaded.pool) - len({_said(example) for example in loaded.pool})
    assert exact / len(loaded.pool) == pytest.approx(0.2, abs=0.01)
    # A look-up has about 100 arguments, fewer than its rows here: the remaining rows repeat questions.
    assert 0.3 <= _share(loaded, "duplicate_of") < 0.4


def test_options_at_zero_leave_a_clean_pool():
    loaded = PlantedPool(size=1000, zipf=0, exact_duplicates=0, near_duplicates=0, corrupted=0, verbose=0).load()
    assert not any(_share(loaded, label) for label in ("duplicate_of", "corrupted", "verbose"))
    assert len({_said(example) for example in loaded.pool}) == 1000
    longest = max(len(example.response.split()) for example in loaded.pool)
    assert longest == 5  # "repeat" five times


def test_skills_have_a_long_tail(loaded):
    counts = [count for _, count in Counter(labels["skill"] for labels in loaded.labels.values()).most_common()]
    assert len(counts) == len(skills())
    assert counts[0] > 0.2 * len(loaded.pool)
    assert counts[-1] < 0.02 * len(loaded.pool)
    rank = np.log(np.arange(1, len(counts) + 1))
    assert np.polyfit(rank, np.log(counts), 1)[0] == pytest.approx(-1.1, abs=0.15)


def test_a_balanced_pool_has_no_tail():
    labels = PlantedPool(size=5200, zipf=0).load().labels.values()
    counts = Counter(of["skill"] for of in labels).values()
    assert max(counts) < 1.5 * min(counts)


def test_the_order_of_skills_is_drawn_by_the_seed():
    def first(seed):
        labels = PlantedPool(size=1000, seed=seed).load().labels.values()
        return Counter(of["skill"] for of in labels).most_common(1)[0][0]

    assert len({first(seed) for seed in range(8)}) > 2


@pytest.mark.parametrize("seed", range(4))
def test_no_pool_asks_a_held_out_question(seed):
    options = PlantedPool(size=6000, seed=seed, zipf=seed / 2)
    assert not any(skills()[row.skill].held_out(row.argument) for row in _generated_rows(options))
    kept = {item["question"] for skill in skills().values() for item in held_out_items(skill)}
    assert not kept & {example.question for example in options.load().pool}


def test_exact_duplicates_differ_in_their_id_only(loaded):
    groups: dict[str, list] = {}
    for example in loaded.pool:
        groups.setdefault(example.content_hash, []).append(example)
    twins = [group for group in groups.values() if len(group) > 1]
    assert twins
    for group in twins:
        assert len({dataclasses.replace(example, id="") for example in group}) == 1


def test_duplicates_point_at_one_original_that_asks_the_same(loaded):
    answers = {}
    for example in loaded.pool:
        of = loaded.labels[example.id]
        original = of["duplicate_of"] or example.id
        assert loaded.labels[original]["duplicate_of"] == ""
        assert loaded.labels[original]["skill"] == of["skill"]
        if not of["corrupted"] and not of["verbose"]:
            assert answers.setdefault(original, example.response) == example.response


def test_verbose_responses_are_longer_than_plain_ones_but_not_than_all(loaded):
    lengths = {flag: [] for flag in (True, False)}
    for example in loaded.pool:
        lengths[loaded.labels[example.id]["verbose"]].append(len(example.response.split()))
    assert np.mean(lengths[True]) > np.mean(lengths[False]) + 2
    assert max(lengths[False]) > min(lengths[True])


def test_examples_do_not_hold_the_hidden_labels(loaded):
    for example in loaded.pool:
        assert (example.category, example.source, example.system, example.history) == ("", "", "", ())
    assert list(loaded.pool.ids) == sorted(loaded.pool.ids)
    assert not hasattr(loaded.pool, "labels")
    assert set(vars(loaded.pool)) <= {"examples", "name", "ids", "_positions", "fingerprint"}


@pytest.mark.parametrize("label", ["duplicate_of", "corrupted", "verbose"])
def test_the_order_does_not_reveal_the_labels(loaded, label):
    flags = np.array([bool(loaded.labels[id][label]) for id in loaded.pool.ids], float)
    place = np.corrcoef(np.arange(len(flags)), flags)[0, 1]
    runs = np.corrcoef(flags[1:], flags[:-1])[0, 1]
    assert abs(place) < 0.04
    assert abs(runs) < 0.04


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("size", 0),
        ("size", -5),
        ("zipf", -0.1),
        ("zipf", float("nan")),
        ("exact_duplicates", 1.5),
        ("near_duplicates", -0.1),
        ("corrupted", 2),
        ("verbose", -1),
        ("exact_duplicates", 1.0),
    ],
)
def test_an_invalid_option_is_reported_by_name(option, value):
    with pytest.raises(UserError, match=rf"pool\.{option}={value}.*(valid|at least)"):
        PlantedPool(**{option: value}).load()


# ------------------------------------------------------------------------------------------------- some skills only


@pytest.mark.parametrize("names", [["colour"], ["add"], ["sort", "colour", "mayor"], ["colour", "colour"]])
def test_a_pool_of_some_skills(names):
    loaded = PlantedPool(size=400, seed=5, skills=names).load()
    assert len(loaded.pool) == 400
    assert {labels["skill"] for labels in loaded.labels.values()} == set(names)


def test_rows_of_some_skills_share_no_item_with_the_suite():
    asked = {
        " ".join(item["question"].split()): name for name, skill in skills().items() for item in held_out_items(skill)
    }
    for name in skills():
        pool = PlantedPool(size=300, seed=1000003, skills=[name]).load().pool
        assert not [asked[said] for e in pool if (said := " ".join(e.question.split())) in asked]


def test_all_skills_by_name_are_the_pool_without_the_option():
    assert (
        PlantedPool(size=300).load().pool.fingerprint
        == PlantedPool(size=300, skills=[*skills()]).load().pool.fingerprint
    )


def test_an_unknown_skill_is_refused_with_the_valid_ones():
    with pytest.raises(UserError, match=r"pool\.skills: unknown skill 'color'\. Did you mean 'colour'\? Valid: add, "):
        PlantedPool(skills=["add", "color"]).load()
