"""The generated examples that checks hand to plugins."""

from __future__ import annotations

import dataclasses
import random

from selbench.api import Example, Pool

# Words that the tokenizer of planted-1m knows: otherwise every text would be the same row of unknown tokens to it.
WORDS = (
    "bird black blue brown citizen colour cook doctor drink farmer fish fruit game gold green guard hunter judge".split()  # noqa: SIM905
)


def make_pool(size: int, seed: int = 0) -> Pool:
    """Distinct examples whose responses all differ in length, in three categories of unequal size and two sources."""
    rng = random.Random(seed)
    # All lengths differ, so that a ranking by length has no ties.
    lengths = rng.sample(range(1, size + 1), size)
    examples = []
    for i, length in enumerate(lengths):
        words = [rng.choice(WORDS) for _ in range(6)]
        response = " ".join(rng.choice(WORDS) for _ in range(length))
        category = "abc"[min(rng.randrange(6) // 2, 2)] if rng.random() < 0.8 else "a"
        examples.append(
            Example(f"e{i:03d}-{seed}", f"{' '.join(words)} {i}", response, source=f"s{i % 2}", category=category)
        )
    return Pool(examples, "conformance")


def odd_examples() -> list[Example]:
    """What a pool may hold and a careless plugin stumbles over: history, system prompts, inputs, ids and text in any script."""
    return [
        Example("plain", "find the bird", "blue"),
        Example("input", "find the fish", "green", input="brown fish"),
        Example("system", "find the cook", "gold", system="answer in one word"),
        Example("history", "and the judge", "black", history=(("find the cook", "gold"), ("again", "gold"))),
        Example("größe/ü 漢字", "wo ist der Vogel? 🐦", "là-bas — 鳥\n\n“oui”"),
        Example("long", "count the birds", " ".join(["bird fish"] * 150)),
        Example("x" * 200, "x", "y", source="ſ", category="c/d"),
    ]


def part_of(pool: Pool, size: int, seed: int) -> Pool:
    """At most `size` examples of a pool, drawn by the seed and in the pool's order."""
    if len(pool) <= size:
        return pool
    kept = sorted(random.Random(seed).sample(range(len(pool)), size))
    return Pool([pool[position] for position in kept], pool.name)


def copied(pool: Pool) -> Pool:
    """A pool of copies of the examples."""
    return Pool([dataclasses.replace(example) for example in pool], pool.name)


def summary(pool: Pool) -> str:
    """A pool in one line, with the first examples of a small one: `2 examples: e000-0 'bird ...' -> 'fish' ...`."""
    first = [f"{e.id!r}: {_short(e.question)} -> {_short(e.response)}" for e in pool[:3]]
    more = f", and {len(pool) - 3} more" if len(pool) > 3 else ""
    return f"a pool of {len(pool)} example{'s' if len(pool) > 1 else ''} ({'; '.join(first)}{more})"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f"'{text[:24]}...'" if len(text) > 27 else f"'{text}'"
