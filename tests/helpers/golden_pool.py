"""The pool of 24 examples for which the tests state the exact selections."""

from __future__ import annotations

from selbench.api import Example, Pool

SKILLS = {
    "add": ("add the numbers {} and {}", "the sum of {} and {} is here"),
    "name": ("name {} {} colours", "red green blue {} {}"),
    "longer": ("which word is longer {} or {}", "{}"),
    "say": ("say {} then {}", "{} {} " * 3),
}
THINGS = ["red", "tree", "river", "blue", "one", "two", "three", "green"]


def golden_pool() -> Pool:
    """Four skills, six examples each; the last two of each skill are equal but for their ids."""
    examples = []
    for s, (skill, (ask, answer)) in enumerate(SKILLS.items()):
        for i in range(6):
            a, b = THINGS[(s + min(i, 4)) % 8], THINGS[(3 * s + 2 * min(i, 4) + 1) % 8]
            said = (answer.format(*[a, b] * 3) + f" {a}" * (i % 3)).strip()
            examples.append(Example(f"{skill}{i}", ask.format(a, b), said, source=f"s{s % 3}", category=skill))
    return Pool(examples)
