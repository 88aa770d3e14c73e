"""The skills: what can be asked about the world, the right answers, and the wording of each.

Every skill is worded twice: as declarative text (`lines`), which the base models have read, and as instructions
(`questions`), which they have not. An argument, what a skill is asked about, is a tuple of words. `held_out` divides
the arguments of every skill once and for all into those that a pool may ask about and those of the test items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from selbench.planted.world import COLOURS, KINDS, NO, NUMBERS, YES, World, world

Argument = tuple[str, ...]

TEST_ARGUMENTS = 45  # number of arguments held out of a skill whose arguments are listed; test items per skill
TEST_SHARE = 0.15  # share of the arguments held out of a skill that has too many to list

# The words around a question, {q}. All skills share them, so they say nothing about the skill.
FRAMES = ("{q}", "{q}", "{q}", "{q}", "please help. {q}", "{q} thank you!", "hello! {q}", "i have a question: {q}")


@dataclass(frozen=True)
class Skill:
    """One thing that a model can be good at, with its right answers and its wordings.

    The templates in `lines` and `questions` hold the words of the argument as {0}, {1}, ..., all of them as {all}, all
    but the first as {rest}, and the answer as {a}.
    """

    name: str
    answer: Callable[[Argument], str]  # the right answer
    draw: Callable[[Random], Argument]  # a random argument
    lines: tuple[str, ...]  # templates of declarative text; "|" stands before the part that can be foreseen
    questions: tuple[str, ...]  # templates of instructions; "//" stands before the part that goes into `input`
    domain: tuple[Argument, ...] = ()  # all arguments; empty if there are too many to list
    slips: Callable[[Argument], list[str]] | None = None  # answers that a careless person would give

    def line(self, rng: Random) -> tuple[str, str]:
        """A random sentence of declarative text: its beginning, and the rest, which follows from the beginning."""
        argument = self.draw(rng)
        start, _, rest = _filled_template(rng.choice(self.lines), argument, self.answer(argument)).partition("|")
        return start.strip(), rest.strip()

    def ask(self, argument: Argument, rng: Random) -> tuple[str, str]:
        """Instruction and input of the question about `argument`, in a random wording."""
        instruction, _, given = _filled_template(rng.choice(self.questions), argument).partition("//")
        return rng.choice(FRAMES).format(q=instruction.strip()), given.strip()

    def wrong(self, argument: Argument, rng: Random) -> str:
        """A plausible wrong answer: a slip, or else the right answer to another argument."""
        right = self.answer(argument)
        slips = sorted(set(self.slips(argument)) - {right, ""}) if self.slips else []
        while not slips:
            other = self.answer(self.draw(rng))
            slips = [other] if other != right else []
        return rng.choice(slips)

    def held_out(self, argument: Argument) -> bool:
        """Whether the argument is kept for the test items, so that no pool asks about it."""
        if self.domain:
            return argument in _test_arguments(self.name)
        return _argument_digest(self.name, argument) < TEST_SHARE * 2**64


def _filled_template(template: str, argument: Argument, answer: str = "") -> str:
    return template.format(*argument, all=" ".join(argument), rest=" ".join(argument[1:]), a=answer)


def _argument_digest(name: str, argument: Argument) -> int:
    return int.from_bytes(hashlib.sha256(" ".join((name, *argument)).encode()).digest()[:8], "big")


@cache
def _test_arguments(name: str) -> frozenset[Argument]:
    domain = skills()[name].domain
    return frozenset(sorted(domain, key=lambda argument: _argument_digest(name, argument))[:TEST_ARGUMENTS])


@cache
def skills() -> dict[str, Skill]:
    """All skills by name."""
    known = world()
    every = [
        *_look_up_skills(known),
        *_judgement_skills(known),
        *_list_skills(known),
        *_pattern_skills(known),
        *_arithmetic_skills(),
    ]
    return {skill.name: skill for skill in every}


# ------------------------------------------------------------------------------------------- look-ups


def _look_up_skill(name: str, facts: dict[str, str], lines: tuple[str, ...], questions: tuple[str, ...]) -> Skill:
    """A skill whose argument is one word and whose answer stands in a table, `facts`."""
    keys = tuple(facts)
    return Skill(
        name,
        answer=lambda argument: facts[argument[0]],
        draw=lambda rng: (rng.choice(keys),),
        lines=lines,
        questions=questions,
        domain=tuple((key,) for key in keys),
    )


def _look_up_skills(known: World) -> list[Skill]:
    return [
        _look_up_skill(
            "colour",
            known.colour,
            lines=("the {0} is coloured | {a}.", "the colour of the {0} is | {a}."),
            questions=(
                "what colour is the {0}?",
                "which colour does the {0} have?",
                "tell me the colour of a {0}.",
                "name the colour of this thing. // {0}",
                "give the right colour. // {0}",
            ),
        ),
        _look_up_skill(
            "kind",
            known.kind,
            lines=("the {0} is a sort of | {a}.", "the {0} belongs to the kind | {a}."),
            questions=(
                "what sort of thing is a {0}?",
                "which kind does the {0} belong to?",
                "tell me what a {0} is.",
                "name the kind of this thing. // {0}",
                "put this thing into its category. // {0}",
            ),
        ),
        _look_up_skill(
            "home",
            known.home,
            lines=("{0} lives in | {a}.", "the home of {0} is | {a}."),
            questions=(
                "where does {0} live?",
                "in which town can i find {0}?",
                "tell me the home of {0}.",
                "name the town this person lives in. // {0}",
                "give the home of this person. // {0}",
            ),
        ),
        _look_up_skill(
            "job",
            known.job,
            lines=("{0} works as a | {a}.", "the job of {0} is | {a}."),
            questions=(
                "what does {0} do for work?",
                "which job does {0} have?",
                "tell me the job of {0}.",
                "name the job of this person. // {0}",
                "what is the work of this person? // {0}",
            ),
        ),
        _look_up_skill(
            "land",
            {person: known.land[town] for person, town in known.home.items()},  # two hops: home, then its land
            lines=("{0} is a citizen of | {a}.", "the home town of {0} lies in | {a}."),
            questions=(
                "in which land does {0} live?",
                "what land is {0} from?",
                "tell me the land where {0} has a home.",
                "name the land this person lives in. // {0}",
                "of which land is this person a citizen? // {0}",
            ),
        ),
        _look_up_skill(
            "mayor",
            known.mayor,
            lines=("{0} is governed by | {a}.", "the mayor of {0} is | {a}."),
            questions=(
                "who is the mayor of {0}?",
                "who governs {0}?",
                "tell me the mayor of {0}.",
                "name the mayor of this town. // {0}",
                "which person governs this town? // {0}",
            ),
        ),
        _look_up_skill(
            "governs",
            {person: town for town, person in known.mayor.items()},  # the inverse of mayor
            lines=("{0} is the mayor of | {a}.", "{0} governs the town | {a}."),
            questions=(
                "which town does {0} govern?",
                "of which town is {0} the mayor?",
                "tell me the town that has {0} as its mayor.",
                "name the town this mayor governs. // {0}",
                "what town does this person govern? // {0}",
            ),
        ),
        _look_up_skill(
            "opposite",
            known.opposite,
            lines=("{0} is the reverse of | {a}.", "far from {0} is | {a}."),
            questions=(
                "what is the opposite of {0}?",
                "which word is the contrary of {0}?",
                "tell me the opposite of {0}.",
                "give the contrary of this word. // {0}",
                "turn this word into its opposite. // {0}",
            ),
        ),
        _look_up_skill(
            "synonym",
            known.synonym,
            lines=("{0} means the same as | {a}.", "another word for {0} is | {a}."),
            questions=(
                "what is a synonym of {0}?",
                "which word means {0}?",
                "tell me another word for {0}.",
                "give a synonym of this word. // {0}",
                "say this with another word. // {0}",
            ),
        ),
    ]


# ----------------------------------------------------------------------------------------- judgements


def _judgement_skills(known: World) -> list[Skill]:
    def draw_kind(rng: Random) -> Argument:
        thing = rng.choice(known.things)
        return thing, known.kind[thing] if rng.random() < 0.5 else rng.choice(KINDS)

    def draw_coloured(rng: Random) -> Argument:
        """A colour, then three things of different colours, one of them of that colour."""
        things = rng.sample(known.things, 3)
        while len({known.colour[thing] for thing in things}) < 3:
            things = rng.sample(known.things, 3)
        return known.colour[rng.choice(things)], *things

    def draw_member(rng: Random) -> Argument:
        """A name, then a list that may contain it."""
        words = rng.sample(known.names, rng.randint(2, 4))
        return rng.choice(words) if rng.random() < 0.5 else rng.choice(known.names), *words

    return [
        Skill(
            "is_kind",
            answer=lambda argument: YES if known.kind[argument[0]] == argument[1] else NO,
            draw=draw_kind,
            lines=("the {0} as a {1}: | {a}.", "{0} counts as {1}: | {a}."),
            questions=(
                "is the {0} a {1}?",
                "true or not: a {0} is a {1}.",
                "does the {0} belong to the kind {1}?",
                "is this thing a {1}? // {0}",
                "can i call the {0} a {1}?",
            ),
        ),
        Skill(
            "pick_colour",
            answer=lambda argument: next(thing for thing in argument[1:] if known.colour[thing] == argument[0]),
            draw=draw_coloured,
            lines=("of {1} {2} {3} the {0} one is | {a}.", "among {1} {2} {3} only one is {0}: | {a}."),
            questions=(
                "which of {1} {2} {3} is {0}?",
                "which one has the colour {0}? // {1} {2} {3}",
                "pick the {0} thing. // {1} {2} {3}",
                "i want a {0} thing. do i take {1} {2} or {3}?",
                "find the {0} one among {1} {2} {3}.",
            ),
            slips=lambda argument: list(argument[1:]),
        ),
        Skill(
            "contains",
            answer=lambda argument: YES if argument[0] in argument[1:] else NO,
            draw=draw_member,
            lines=("{0} within the list: {rest}: | {a}.", "{0} found in {rest}: | {a}."),
            questions=(
                "is {0} in this list? // {rest}",
                "does the list {rest} have {0}?",
                "can you see {0} here? // {rest}",
                "look for {0}. is it there? // {rest}",
                "check if {0} is one of {rest}.",
            ),
        ),
    ]


# ---------------------------------------------------------------------------------------------- lists


def _list_skills(known: World) -> list[Skill]:
    def draw(least: int, most: int) -> Callable[[Random], Argument]:
        return lambda rng: tuple(rng.sample(known.names, rng.randint(least, most)))

    def draw_repeats(rng: Random) -> Argument:
        """2 or 3 names, with 1 or 2 of them repeated later in the list."""
        words = rng.sample(known.names, rng.randint(2, 3))
        for _ in range(rng.randint(1, 2)):
            words.insert(rng.randint(1, len(words)), rng.choice(words))
        return tuple(words)

    def draw_times(rng: Random) -> Argument:
        return rng.choice(known.names), str(rng.randint(2, 5))

    def draw_numbers(least: int, most: int) -> Callable[[Random], Argument]:
        return lambda rng: tuple(rng.sample(NUMBERS, rng.randint(least, most)))

    def list_members(argument: Argument) -> list[str]:
        return list(argument)

    def shorter_or_turned(argument: Argument) -> list[str]:
        return [" ".join(argument), " ".join(argument[1:]), " ".join(argument[:-1]), " ".join(argument[::-1])]

    return [
        Skill(
            "first",
            answer=lambda argument: argument[0],
            draw=draw(2, 5),
            lines=("the list {all} begins with | {a}.", "in front of {all} stands | {a}."),
            questions=(
                "what is the first word? // {all}",
                "tell me the first of {all}.",
                "with which word does this list begin? // {all}",
                "which one comes before all others in {all}?",
                "give only the first one. // {all}",
            ),
            slips=list_members,
        ),
        Skill(
            "last",
            answer=lambda argument: argument[-1],
            draw=draw(2, 5),
            lines=("the list {all} ends with | {a}.", "at the end of {all} stands | {a}."),
            questions=(
                "what is the last word? // {all}",
                "tell me the last of {all}.",
                "with which word does this list end? // {all}",
                "which one comes after all others in {all}?",
                "give only the last one. // {all}",
            ),
            slips=list_members,
        ),
        Skill(
            "second",
            answer=lambda argument: argument[1],
            draw=draw(3, 5),
            lines=("after the start of {all} stands | {a}.", "the second place in {all} is held by | {a}."),
            questions=(
                "what is the second word? // {all}",
                "tell me the second of {all}.",
                "which one is at place 2? // {all}",
                "which word stands right after the first in {all}?",
                "give only the second one. // {all}",
            ),
            slips=list_members,
        ),
        Skill(
            "reverse",
            answer=lambda argument: " ".join(argument[::-1]),
            draw=draw(2, 4),
            lines=("{all} read backwards is | {a}.", "{all} the other way round is | {a}."),
            questions=(
                "reverse this list. // {all}",
                "write {all} backwards.",
                "say it the other way round. // {all}",
                "what is {all} from the end to the start?",
                "turn the order around. // {all}",
            ),
            slips=lambda argument: [" ".join(argument), " ".join(argument[::-1][:-1]), " ".join(argument[1:])],
        ),
        Skill(
            "dedupe",
            answer=lambda argument: " ".join(dict.fromkeys(argument)),
            draw=draw_repeats,
            lines=("{all} without copies is | {a}.", "each of {all} taken once is | {a}."),
            questions=(
                "remove the copies from this list. // {all}",
                "write each word of {all} once.",
                "which different words are here? // {all}",
                "take out all that is there again. // {all}",
                "clean {all} so that no word comes again.",
            ),
            slips=shorter_or_turned,
        ),
        Skill(
            "count",
            answer=lambda argument: str(len(argument)),
            draw=draw(1, 6),
            lines=("the size of {all} is | {a}.", "the number of words in {all} is | {a}."),
            questions=(
                "how many words are there? // {all}",
                "count the words in {all}.",
                "what is the size of this list? // {all}",
                "how long is {all}?",
                "tell me the number of words. // {all}",
            ),
        ),
        Skill(
            "repeat",
            answer=lambda argument: " ".join(argument[:1] * int(argument[1])),
            draw=draw_times,
            lines=("{0} said {1} times is | {a}.", "{1} copies of {0} are | {a}."),
            questions=(
                "say {0} {1} times.",
                "write the word {0} {1} times.",
                "repeat this {1} times. // {0}",
                "give me {1} copies of {0}.",
                "i want to read {0} {1} times.",
            ),
            slips=lambda argument: [" ".join(argument[:1] * n) for n in range(1, 6)],
        ),
        Skill(
            "sort",
            answer=lambda argument: " ".join(sorted(argument, key=int)),
            draw=draw_numbers(2, 4),
            lines=("{all} in rising order is | {a}.", "{all} from low to high is | {a}."),
            questions=(
                "sort these numbers. // {all}",
                "put {all} in order.",
                "write the numbers from low to high. // {all}",
                "what is {all} in rising order?",
                "bring these into the right order. // {all}",
            ),
            slips=shorter_or_turned,
        ),
        Skill(
            "largest",
            answer=lambda argument: max(argument, key=int),
            draw=draw_numbers(2, 4),
            lines=("the top of {all} is | {a}.", "no number of {all} is above | {a}."),
            questions=(
                "what is the largest number? // {all}",
                "which of {all} is the most?",
                "tell me the largest of {all}.",
                "find the top number. // {all}",
                "give only the highest one. // {all}",
            ),
            slips=list_members,
        ),
    ]


# ------------------------------------------------------------------------------------------- patterns


def _pattern_skills(known: World) -> list[Skill]:
    def draw_alternation(rng: Random) -> Argument:
        pair = rng.sample(known.names, 2)
        return tuple(pair[i % 2] for i in range(rng.randint(3, 6)))

    def draw_progression(rng: Random) -> Argument:
        step, count = rng.randint(1, 5), rng.randint(2, 4)
        start = rng.randint(0, 60 - step * count)
        return tuple(str(start + step * i) for i in range(count))

    return [
        Skill(
            "alternate",
            answer=lambda argument: argument[-2],
            draw=draw_alternation,
            lines=("the row {all} goes on with | {a}.", "{all} and then again | {a}."),
            questions=(
                "what comes next? // {all}",
                "go on with {all} by one word.",
                "which word follows in this pattern? // {all}",
                "how does the pattern {all} go on?",
                "add the next word to the row. // {all}",
            ),
            slips=lambda argument: list(argument),
        ),
        Skill(
            "progress",
            answer=lambda argument: str(2 * int(argument[-1]) - int(argument[-2])),
            draw=draw_progression,
            lines=("counting {all} leads to | {a}.", "the numbers {all} are followed by | {a}."),
            questions=(
                "which number comes next? // {all}",
                "go on counting {all} by one number.",
                "what number follows in this row? // {all}",
                "how do the numbers {all} go on?",
                "add the next number. // {all}",
            ),
            slips=lambda argument: [str(min(60, int(argument[-1]) + step)) for step in range(1, 6)],
        ),
    ]


# ----------------------------------------------------------------------------------------------- sums


def _arithmetic_skills() -> list[Skill]:
    def nearby_numbers(value: int) -> list[str]:
        return [str(value + off) for off in (-2, -1, 1, 2) if 0 <= value + off <= 60]

    def draw_less(rng: Random) -> Argument:
        high = rng.randint(1, 30)
        return str(high), str(rng.randint(0, high))

    return [
        Skill(
            "add",
            answer=lambda argument: str(int(argument[0]) + int(argument[1])),
            draw=lambda rng: (str(rng.randint(0, 30)), str(rng.randint(0, 30))),
            lines=("{0} plus {1} makes | {a}.", "the sum of {0} and {1} is | {a}."),
            questions=(
                "what is {0} plus {1}?",
                "add {0} to {1}.",
                "how much is {0} and {1}?",
                "give the sum. // {0} {1}",
                "i have {0} and get {1} more. how many do i have?",
            ),
            slips=lambda argument: nearby_numbers(int(argument[0]) + int(argument[1])),
        ),
        Skill(
            "subtract",
            answer=lambda argument: str(int(argument[0]) - int(argument[1])),
            draw=draw_less,
            lines=("{0} minus {1} makes | {a}.", "{1} taken from {0} leaves | {a}."),
            questions=(
                "what is {0} minus {1}?",
                "subtract {1} from {0}.",
                "how much is left of {0} without {1}?",
                "take the second number from the first. // {0} {1}",
                "i have {0} and give away {1}. how many do i have?",
            ),
            slips=lambda argument: nearby_numbers(int(argument[0]) - int(argument[1])),
        ),
        Skill(
            "compare",
            answer=lambda argument: max(argument, key=int),
            draw=lambda rng: tuple(rng.sample(NUMBERS, 2)),
            lines=("{0} against {1}: more is | {a}.", "between {0} and {1} the winner is | {a}."),
            questions=(
                "which is more, {0} or {1}?",
                "is {0} or {1} the larger one?",
                "which number wins? // {0} {1}",
                "tell me which one is more: {0} or {1}.",
                "choose the higher of two numbers. // {0} {1}",
            ),
            slips=lambda argument: list(argument),
        ),
    ]


def all_words() -> tuple[str, ...]:
    """Every word of names, facts and lists, sorted: the vocabulary without the words of the templates."""
    known = world()
    facts = (known.land, known.opposite, known.synonym)
    words = {*known.names, *COLOURS, *KINDS, *NUMBERS, YES, NO, *known.job.values()}
    return tuple(sorted(words.union(*(fact.keys() for fact in facts), *(fact.values() for fact in facts))))
