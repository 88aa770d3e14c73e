"""The planted pool: generated instructions whose skills, duplicates and faults are known, but hidden from selectors."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from selbench.api import Example, LoadedPool, Pool
from selbench.errors import UserError, unknown
from selbench.planted.skills import Argument, Skill, skills

# The padding of verbose responses; {a} is the answer.
PADDINGS = (
    "{a} of course.",
    "it is {a}.",
    "that is {a} for sure.",
    "the answer is {a}.",
    "i think that it must be {a}.",
    "well, let me see. the right answer to this question is {a}.",
)
WIDE = 8  # this many of the most frequent skills have too many arguments to list, so that questions do not run out


@dataclass
class PlantedPool:
    """A generated pool with known structure; the same options give the same pool.

    Two rows are duplicates if they ask about the same argument of the same skill, however they are worded. The two
    options for duplicates plant some; a skill with more rows than different arguments has more of them.

    Options:
        name: name of the pool in reports.
        size: number of rows.
        zipf: the skill of rank r has rows in proportion to r ** -zipf; 0 is balanced.
        exact_duplicates: share of all rows that repeat another row word for word.
        near_duplicates: share of all rows that ask another row's question in other words.
        corrupted: share of all rows with a plausible wrong response.
        verbose: share of all rows with padding around the response.
        skills: the skills that rows are about, such as [colour,add]; empty for all.
        seed: of everything that is drawn: another seed, another pool.
    """

    name: str = "planted"
    size: int = 8000
    zipf: float = 1.1
    exact_duplicates: float = 0.10
    near_duplicates: float = 0.15
    corrupted: float = 0.05
    verbose: float = 0.10
    skills: list[str] = field(default_factory=list)
    seed: int = 0

    quick = True  # made again in a moment, without a network

    def load(self) -> LoadedPool:
        """The pool and, apart from it, the hidden labels of every example. Raises UserError for an option that is not valid.

        The labels are skill, duplicate_of (the id of the first row with the same question, or ""), corrupted, verbose.
        """
        self._check_options()
        rows = _generated_rows(self)
        names = [f"planted-{position:0{len(str(self.size - 1))}d}" for position in range(len(rows))]
        originals = {row.group: name for name, row in zip(names, rows) if row.original}
        examples = [Example(name, row.instruction, row.response, row.input) for name, row in zip(names, rows)]
        labels = {
            name: {
                "skill": row.skill,
                "duplicate_of": "" if row.original else originals[row.group],
                "corrupted": row.corrupted,
                "verbose": row.verbose,
            }
            for name, row in zip(names, rows)
        }
        return LoadedPool(Pool(examples, self.name), labels)

    def _check_options(self) -> None:
        if self.size < 1:
            raise UserError(f"pool.size={self.size}: a planted pool has at least 1 row.")
        if not (math.isfinite(self.zipf) and self.zipf >= 0):
            raise UserError(f"pool.zipf={self.zipf}: valid 0 (balanced skills) and above; 1.1 is a long tail.")
        for option in ("exact_duplicates", "near_duplicates", "corrupted", "verbose"):
            if not 0 <= getattr(self, option) <= 1:
                raise UserError(f"pool.{option}={getattr(self, option)} is not a share of the rows: valid 0.0 to 1.0.")
        known = skills()
        for name in self.skills:
            if name not in known:
                raise UserError(f"pool.skills: {unknown('skill', name, known)}")
        if self.exact_duplicates + self.near_duplicates >= 1:
            raise UserError(
                f"pool.exact_duplicates={self.exact_duplicates} and pool.near_duplicates={self.near_duplicates} "
                f"leave no row to copy: together they are valid below 1.0."
            )


@dataclass(frozen=True)
class _Row:
    """One row of the pool with its hidden labels."""

    skill: str  # the name of the skill
    argument: Argument  # what the skill is asked about
    instruction: str
    input: str
    response: str
    original: bool  # whether it is the first row with this question
    corrupted: bool = False  # whether the response is wrong
    verbose: bool = False  # whether the response is padded

    @property
    def group(self) -> tuple[str, Argument]:
        """The question, whatever its words: rows of one group are duplicates."""
        return self.skill, self.argument


def _generated_rows(options: PlantedPool) -> list[_Row]:
    """All rows of the pool, shuffled."""
    rng = Random(f"planted pool {options.seed}")
    exact, near = (round(options.size * share) for share in (options.exact_duplicates, options.near_duplicates))
    exact = min(exact, options.size - 1)
    near = min(near, options.size - 1 - exact)
    rows = _question_rows(options.size - exact - near, options.zipf, options.skills, rng)
    rows += _rephrased_rows(rows, near, rng)
    rows = _rows_with_faults(rows, options.corrupted, options.verbose, rng)
    # Exact duplicates come last: they repeat the faults of their original.
    rows += [dataclasses.replace(rng.choice(rows), original=False) for _ in range(exact)]
    rng.shuffle(rows)
    return rows


def _question_rows(count: int, zipf: float, wanted: Sequence[str], rng: Random) -> list[_Row]:
    """`count` rows with right and plain answers, of the `wanted` skills (empty: of all).

    A question is repeated only when its skill has no other left.
    """
    ranked = [skill for skill in _skills_by_frequency(rng) if not wanted or skill.name in wanted]
    weights = [rank**-zipf for rank in range(1, len(ranked) + 1)]
    fresh = {skill.name: _ArgumentSource(skill, rng) for skill in ranked}
    rows: list[_Row] = []
    asked: set[tuple[str, Argument]] = set()
    for skill in rng.choices(ranked, weights, k=count):
        argument = fresh[skill.name].next()
        instruction, given = skill.ask(argument, rng)
        original = (skill.name, argument) not in asked
        asked.add((skill.name, argument))
        rows.append(_Row(skill.name, argument, instruction, given, skill.answer(argument), original))
    return rows


def _skills_by_frequency(rng: Random) -> list[Skill]:
    """All skills in random order, most frequent first; the first WIDE have too many arguments to list."""
    wide = [skill for skill in skills().values() if not skill.domain]
    rng.shuffle(wide)
    rest = [skill for skill in skills().values() if skill.domain] + wide[WIDE:]
    rng.shuffle(rest)
    return wide[:WIDE] + rest


class _ArgumentSource:
    """The arguments of one skill that a pool may use: each once, then all of them again."""

    TRIES = 30  # this many repeated draws in a row mean that the arguments are used up

    def __init__(self, skill: Skill, rng: Random) -> None:
        self.skill, self.rng = skill, rng
        self.used: set[Argument] = set()
        self.waiting = [argument for argument in skill.domain if not skill.held_out(argument)]
        rng.shuffle(self.waiting)
        self.listed = list(self.waiting)

    def next(self) -> Argument:
        """The next argument, one that was not used yet if there is any."""
        if self.listed:
            self.waiting = self.waiting or self.rng.sample(self.listed, len(self.listed))
            return self.waiting.pop()
        argument = self._draw_allowed()
        for _ in range(self.TRIES):
            if argument not in self.used:
                break
            argument = self._draw_allowed()
        self.used.add(argument)
        return argument

    def _draw_allowed(self) -> Argument:
        while self.skill.held_out(argument := self.skill.draw(self.rng)):
            pass
        return argument


def _rephrased_rows(rows: list[_Row], count: int, rng: Random) -> list[_Row]:
    """`count` near duplicates: the questions of random rows in other words."""
    known = skills()
    said: defaultdict[tuple[str, Argument], set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        said[row.group].add((row.instruction, row.input))
    copies = []
    for _ in range(count):
        row = rng.choice(rows)
        for _ in range(_ArgumentSource.TRIES):
            words = known[row.skill].ask(row.argument, rng)
            if words not in said[row.group]:
                break
        said[row.group].add(words)
        copies.append(dataclasses.replace(row, instruction=words[0], input=words[1], original=False))
    return copies


def _rows_with_faults(rows: list[_Row], corrupted: float, verbose: float, rng: Random) -> list[_Row]:
    """The rows, a share of them with a wrong response and an independently drawn share with a padded one."""
    wrong = set(rng.sample(range(len(rows)), round(len(rows) * corrupted)))
    wordy = set(rng.sample(range(len(rows)), round(len(rows) * verbose)))
    spoilt = []
    for position, row in enumerate(rows):
        response = skills()[row.skill].wrong(row.argument, rng) if position in wrong else row.response
        if position in wordy:
            response = rng.choice(PADDINGS).format(a=response)
        spoilt.append(
            dataclasses.replace(row, response=response, corrupted=position in wrong, verbose=position in wordy)
        )
    return spoilt
