"""The invented world: who and what is in it, and the facts that hold there.

It is the same for ever (one fixed seed), because the two models have read about it. Nothing here knows of questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown", "pink", "grey", "purple", "gold", "silver")
KINDS = ("tool", "fruit", "toy", "bird", "fish", "drink", "stone", "plant", "hat", "game")
JOBS = (
    "baker", "smith", "sailor", "farmer", "singer", "doctor", "painter", "tailor",
    "teacher", "miller", "hunter", "judge", "mason", "weaver", "cook", "guard",
)  # fmt: skip
NUMBERS = tuple(str(number) for number in range(61))
YES, NO = "yes", "no"

_SEED = "selbench planted world 1"
_CONSONANTS, _VOWELS = "bdfgjklmnprstvz", "aeiou"
# The shape of a name says what it names, to a human reader: c consonant, v vowel, the rest as written.
_THING, _PERSON, _TOWN, _LAND, _POLAR, _EQUAL = "cvc", "cvcv", "cvcton", "cvcland", "cvcvsh", "cvcly"
# Words of English of such a shape, which templates use.
_TAKEN = (
    "dog", "got", "has", "hat", "let", "man", "may", "men", "not", "pet", "put", "red", "say", "set", "son", "sum", "sure",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Names, and one mapping per relation (both sides are single words)."""

    things: tuple[str, ...]
    people: tuple[str, ...]
    towns: tuple[str, ...]
    colour: dict[str, str]  # of a thing
    kind: dict[str, str]  # of a thing
    home: dict[str, str]  # of a person: a town
    job: dict[str, str]  # of a person
    land: dict[str, str]  # of a town
    mayor: dict[str, str]  # of a town: a person, no one governs two
    opposite: dict[str, str]  # of a word; symmetric
    synonym: dict[str, str]  # of a word; symmetric

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that can stand in a list."""
        return self.things + self.people + self.towns


@cache
def world() -> World:
    """The one world."""
    rng = Random(_SEED)
    taken = set(_TAKEN)
    things, people, towns = (
        _new_names(rng, shape, n, taken) for shape, n in ((_THING, 150), (_PERSON, 150), (_TOWN, 100))
    )
    lands = _new_names(rng, _LAND, 10, taken)
    return World(
        things=things,
        people=people,
        towns=towns,
        colour={name: rng.choice(COLOURS) for name in things},
        kind={name: rng.choice(KINDS) for name in things},
        home={name: rng.choice(towns) for name in people},
        job={name: rng.choice(JOBS) for name in people},
        land={name: rng.choice(lands) for name in towns},
        mayor=dict(zip(towns, rng.sample(people, len(towns)))),
        opposite=_symmetric_pairs(_new_names(rng, _POLAR, 100, taken)),
        synonym=_symmetric_pairs(_new_names(rng, _EQUAL, 100, taken)),
    )


def _new_names(rng: Random, shape: str, count: int, taken: set[str]) -> tuple[str, ...]:
    """`count` new words of a shape, none of them in `taken`, to which they are added."""
    names: list[str] = []
    while len(names) < count:
        head, tail = (shape[:4], shape[4:]) if shape.startswith("cvcv") else (shape[:3], shape[3:])
        name = "".join(rng.choice(_CONSONANTS if letter == "c" else _VOWELS) for letter in head) + tail
        if name not in taken:
            taken.add(name)
            names.append(name)
    return tuple(names)


def _symmetric_pairs(words: tuple[str, ...]) -> dict[str, str]:
    half = len(words) // 2
    forth = dict(zip(words[:half], words[half:]))
    return forth | {there: here for here, there in forth.items()}
