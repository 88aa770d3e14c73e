"""The planted pool: generated instructions whose skill, copies and faults are known, and hidden from every selector."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from dataclasses import dataclass
from random import Random

from selbench.api import Example, LoadedPool, Pool
from selbench.errors import UserError
from selbench.planted.skills import Argument, Skill, skills

# What a wordy writer puts around an answer.
PADDINGS = (
    "{a} of course.",
    "it is {a}.",
    "that is {a} for sure.",
    "the answer is {a}.",
    "i think that it must be {a}.",
    "well, let me see. the right answer to this question is {a}.",
)
WIDE = 8  # this many of the most frequent skills are drawn from those with very many arguments


@dataclass
class PlantedPool:
    """A generated pool with known structure; the same options give the same pool.

    Shares are of all rows. Two rows that ask one question of one skill are duplicates, however they are worded:
    planted ones by the two knobs, and more where a skill gets more rows than it has different arguments.

    Options:
        name: what reports call it.
        size: number of rows.
        zipf: the skill of rank r is asked about in proportion to r ** -zipf; 0 is balanced.
        exact_duplicates: share of rows that are another row once more.
        near_duplicates: share of rows that ask another row's question in other words.
        corrupted: share of rows with a plausible wrong response.
        verbose: share of rows with padding around the response.
        seed: another seed, another pool.
    """

    name: str = "planted"
    size: int = 8000
    zipf: float = 1.1
    exact_duplicates: float = 0.10
    near_duplicates: float = 0.15
    corrupted: float = 0.05
    verbose: float = 0.10
    seed: int = 0

    quick = True  # made again in a moment, without a network

    def load(self) -> LoadedPool:
        """The pool and, apart from it, the hidden labels. Raises UserError for a value that makes no sense."""
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
        for knob in ("exact_duplicates", "near_duplicates", "corrupted", "verbose"):
            if not 0 <= getattr(self, knob) <= 1:
                raise UserError(f"pool.{knob}={getattr(self, knob)} is not a share of the rows: valid 0.0 to 1.0.")
        if self.exact_duplicates + self.near_duplicates >= 1:
            raise UserError(
                f"pool.exact_duplicates={self.exact_duplicates} and pool.near_duplicates={self.near_duplicates} "
                f"leave no row to copy: together they are valid below 1.0."
            )


@dataclass(frozen=True)
class _Row:
    skill: str
    argument: Argument
    instruction: str
    input: str
    response: str
    original: bool  # the first of its group
    corrupted: bool = False
    verbose: bool = False

    @property
    def group(self) -> tuple[str, Argument]:
        """What is asked, whatever the words."""
        return self.skill, self.argument


def _generated_rows(options: PlantedPool) -> list[_Row]:
    """All rows, shuffled."""
    rng = Random(f"planted pool {options.seed}")
    exact, near = (round(options.size * share) for share in (options.exact_duplicates, options.near_duplicates))
    exact = min(exact, options.size - 1)
    near = min(near, options.size - 1 - exact)
    rows = _question_rows(options.size - exact - near, options.zipf, rng)
    rows += _rephrased_rows(rows, near, rng)
    rows = _rows_with_faults(rows, options.corrupted, options.verbose, rng)
    rows += [dataclasses.replace(rng.choice(rows), original=False) for _ in range(exact)]
    rng.shuffle(rows)
    return rows


def _question_rows(count: int, zipf: float, rng: Random) -> list[_Row]:
    """Rows with right and plain answers; a question comes again only once a skill has no other left."""
    ranked = _skills_by_frequency(rng)
    weights = [rank**-zipf for rank in range(1, len(ranked) + 1)]
    fresh = {skill.name: _Arguments(skill, rng) for skill in ranked}
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
    """All skills, most frequent first: drawn by lot, except that look-ups with few arguments cannot lead the list."""
    wide = [skill for skill in skills().values() if not skill.domain]
    rng.shuffle(wide)
    rest = [skill for skill in skills().values() if skill.domain] + wide[WIDE:]
    rng.shuffle(rest)
    return wide[:WIDE] + rest


class _Arguments:
    """The arguments of one skill that a pool may use, each once as long as they last, then over again."""

    TRIES = 30  # draws in vain after which the arguments are taken to be used up

    def __init__(self, skill: Skill, rng: Random) -> None:
        self.skill, self.rng = skill, rng
        self.used: set[Argument] = set()
        self.waiting = [argument for argument in skill.domain if not skill.held_out(argument)]
        rng.shuffle(self.waiting)
        self.listed = list(self.waiting)

    def next(self) -> Argument:
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
    """`count` near duplicates: a row's question in other words."""
    known = skills()
    said: defaultdict[tuple[str, Argument], set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        said[row.group].add((row.instruction, row.input))
    copies = []
    for _ in range(count):
        row = rng.choice(rows)
        for _ in range(_Arguments.TRIES):
            words = known[row.skill].ask(row.argument, rng)
            if words not in said[row.group]:
                break
        said[row.group].add(words)
        copies.append(dataclasses.replace(row, instruction=words[0], input=words[1], original=False))
    return copies


def _rows_with_faults(rows: list[_Row], corrupted: float, verbose: float, rng: Random) -> list[_Row]:
    """The rows, a share of them with a wrong and a share (drawn apart) with a padded response."""
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
