"""The planted world and its skills."""

from __future__ import annotations

import re
from random import Random

import pytest

from selbench.planted.pool import PADDINGS
from selbench.planted.skills import FRAMES, TEST_ARGUMENTS, all_words, skills
from selbench.planted.world import world

SKILLS = list(skills().values())
QUESTION_WORDS = {"what", "which", "who", "where", "how", "tell", "give", "please", "name", "hello", "thank", "?"}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+|[^\w\s]", text))


def _arguments(skill, count=200):
    rng = Random(skill.name)
    return [skill.draw(rng) for _ in range(count)]


def test_there_are_many_skills_in_several_phrasings():
    assert len(SKILLS) >= 20
    for skill in SKILLS:
        assert len(set(skill.questions)) >= 4
        assert any("//" in question for question in skill.questions), f"{skill.name} never uses the input field"


def test_names_are_not_words_of_the_templates():
    templates = [text for skill in SKILLS for text in (*skill.lines, *skill.questions)]
    used = set().union(*(_words(re.sub(r"{\w+}", " ", text)) for text in (*templates, *FRAMES, *PADDINGS)))
    known = world()
    assert not used & {*known.names, *known.opposite, *known.synonym, *known.land.values()}
    assert len(all_words()) == len(set(all_words()))


def test_relations_are_well_formed():
    known = world()
    assert len(set(known.mayor.values())) == len(known.mayor)
    assert all(table[table[word]] == word for table in (known.opposite, known.synonym) for word in table)
    assert set(known.home.values()) <= set(known.towns)


def test_look_ups_answer_what_the_world_says():
    known = world()
    for name, table in {"colour": known.colour, "kind": known.kind, "job": known.job, "mayor": known.mayor}.items():
        assert all(skills()[name].answer((key,)) == value for key, value in table.items())
    assert all(known.mayor[skills()["governs"].answer((person,))] == person for person in known.mayor.values())
    assert all(skills()["land"].answer((person,)) == known.land[known.home[person]] for person in known.people)


def _progression(argument):
    step = int(argument[1]) - int(argument[0])
    return str(int(argument[0]) + step * len(argument))


def _without_repeats(argument):
    return " ".join(word for i, word in enumerate(argument) if word not in argument[:i])


INDEPENDENT = {
    "reverse": lambda argument: " ".join(reversed(argument)),
    "first": lambda argument: " ".join(argument).split()[0],
    "last": lambda argument: " ".join(argument).split()[-1],
    "second": lambda argument: " ".join(argument).split()[1],
    "count": lambda argument: str(" ".join(argument).count(" ") + 1),
    "dedupe": _without_repeats,
    "sort": lambda argument: " ".join(str(n) for n in sorted(map(int, argument))),
    "largest": lambda argument: str(max(map(int, argument))),
    "compare": lambda argument: str(max(map(int, argument))),
    "add": lambda argument: str(sum(map(int, argument))),
    "subtract": lambda argument: str(int(argument[0]) - int(argument[1])),
    "progress": _progression,
    "alternate": lambda argument: argument[len(argument) % 2],
    "repeat": lambda argument: " ".join(argument[0] for _ in range(int(argument[1]))),
    "contains": lambda argument: "yes" if set(argument[:1]) & set(argument[1:]) else "no",
    "is_kind": lambda argument: "yes" if (argument[0], argument[1]) in world().kind.items() else "no",
    "pick_colour": lambda argument: next(x for x in argument[1:] if world().colour[x] == argument[0]),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_answers_agree_with_an_independent_solution(name):
    for argument in _arguments(skills()[name]):
        assert skills()[name].answer(argument) == INDEPENDENT[name](argument), argument


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_wrong_answers_are_wrong_and_in_the_vocabulary(skill):
    rng = Random(1)
    for argument in _arguments(skill):
        wrong = skill.wrong(argument, rng)
        assert wrong and wrong != skill.answer(argument)
        assert set(wrong.split()) <= set(all_words())


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_enough_arguments_are_held_out_and_enough_are_left(skill):
    arguments = set(skill.domain or _arguments(skill, 2000))
    kept = {argument for argument in arguments if skill.held_out(argument)}
    assert len(kept) >= TEST_ARGUMENTS
    assert len(arguments - kept) >= 50


@pytest.mark.parametrize("skill", SKILLS, ids=lambda skill: skill.name)
def test_declarative_text_asks_nothing(skill):
    rng = Random(2)
    for _ in range(200):
        start, rest = skill.line(rng)
        assert rest.endswith(".")
        assert not _words(f"{start} {rest}") & QUESTION_WORDS
