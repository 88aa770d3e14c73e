"""The invented world: its things, people and places, and the facts about them.

Its seed is fixed, because the two models have read about this world. Questions about it are in skills.py.
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
# The pattern of a name tells a human reader what it names: c is a consonant, v a vowel, other letters stand as written.
_THING, _PERSON, _TOWN, _LAND, _POLAR, _EQUAL = "cvc", "cvcv", "cvcton", "cvcland", "cvcvsh", "cvcly"
# English words of such a pattern, which the templates use.
_TAKEN = (
    "dog", "got", "has", "hat", "let", "man", "may", "men", "not", "pet", "put", "red", "say", "set", "son", "sum", "sure",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Names, and one mapping per relation; keys and values are single words."""

    things: tuple[str, ...]
    people: tuple[str, ...]
    towns: tuple[str, ...]
    colour: dict[str, str]  # thing to colour
    kind: dict[str, str]  # thing to kind of thing
    home: dict[str, str]  # person to town
    job: dict[str, str]  # person to job
    land: dict[str, str]  # town to land
    mayor: dict[str, str]  # town to person; nobody governs two towns
    opposite: dict[str, str]  # word to word, in both directions
    synonym: dict[str, str]  # word to word, in both directions

    @property
    def names(self) -> tuple[str, ...]:
        """All names that can stand in a list."""
        return self.things + self.people + self.towns


@cache
def world() -> World:
    """The world, the same in every process."""
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
    """`count` new words of a pattern, none of which is in `taken`; they are added to `taken`."""
    names: list[str] = []
    while len(names) < count:
        head, tail = (shape[:4], shape[4:]) if shape.startswith("cvcv") else (shape[:3], shape[3:])
        name = "".join(rng.choice(_CONSONANTS if letter == "c" else _VOWELS) for letter in head) + tail
        if name not in taken:
            taken.add(name)
            names.append(name)
    return tuple(names)


def _symmetric_pairs(words: tuple[str, ...]) -> dict[str, str]:
    """A mapping that pairs the words of the first half with those of the second, in both directions."""
    half = len(words) // 2
    forth = dict(zip(words[:half], words[half:]))
    return forth | {there: here for here, there in forth.items()}
