"""Duplicates: what is exact, what is near, and that the search finds just those."""

from __future__ import annotations

import random
import time

import pytest

from selbench.api import Example
from selbench.data.duplicates import RUN, find_duplicates
from selbench.data.ngrams import sentences, words
from selbench.data.pools import FilePool

ASKED, SAID = "Name the three largest cities of the country.", "They are A, B and C, in this order of size."
FIRST = Example("first", ASKED, SAID, system="Be kind.", history=(("Hello there", "Good day"),))


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        (Example("x", ASKED, SAID, "", "Be kind.", (("Hello there", "Good day"),)), {"exact", "near"}),
        (Example("x", ASKED, SAID, "", "Be kind.", (("Hello there", "Good day"),), source="s"), {"exact", "near"}),
        (Example("x", ASKED.upper(), SAID + "  ", "", "be kind", (("hello there", "good day"),)), {"near"}),
        (Example("x", f"Be kind. Hello there. Good day. {ASKED}", SAID), {"near"}),  # the same words, in one turn
        (Example("x", ASKED, "They are D, E and F, in this order of age.", "", "Be kind.", FIRST.history), set()),
        (Example("x", ASKED, SAID, "", "Be kind.", (("Hello there", "Go away now, and do not come back"),)), set()),
        (Example("x", ASKED, SAID), set()),  # without its earlier turns it is another example
    ],
)
def test_what_repeats_an_example(other, kinds):
    assert {kind for kind in ("exact", "near") if find_duplicates([FIRST, other], kind)} == kinds


def test_short_texts_and_texts_without_words_are_near_only_their_equals():
    pairs = [
        ("What is 3 + 4?", "7"),
        ("What is 3 + 5?", "7"),
        ("what is 3+4", "7."),
        ("???", "!"),
        ("!!!", "!"),
        ("???", "!"),
    ]
    examples = [Example(f"{i}", prompt, response) for i, (prompt, response) in enumerate(pairs)]
    assert find_duplicates(examples, "near") == {"2": "0", "5": "3"}
    assert find_duplicates(examples, "exact") == {"5": "3"}
    assert find_duplicates([], "near") == {} == find_duplicates(examples[:1], "near")


def test_the_first_stays_and_nothing_repeats_what_is_left_out():
    chain = [" ".join(f"w{i}" for i in range(start, start + 60)) for start in (0, 4, 8, 12)]  # each near the next only
    found = find_duplicates([Example(f"{i}", text, "so") for i, text in enumerate(chain)], "near")
    assert found == {"1": "0", "3": "2"}


def _near_by_brute_force(examples: list[Example]) -> dict[str, str]:
    def runs(text: str) -> set[tuple[str, ...]]:
        said = words(sentences(text))
        return {tuple(said[i : i + RUN]) for i in range(len(said) - RUN + 1)} or {tuple(said)}

    kept: list[Example] = []
    found = {}
    for example in examples:
        for other in kept:
            pairs = [(runs(example.prompt), runs(other.prompt)), (runs(example.response), runs(other.response))]
            if all(len(a & b) / len(a | b) >= 0.8 for a, b in pairs):
                found[example.id] = other.id
                break
        else:
            kept.append(example)
    return found


@pytest.mark.parametrize("size", [2, 5, 200])
def test_the_search_overlooks_none(size):
    draw = random.Random(size)
    known = [f"w{i}" for i in range(size)]
    texts = [[draw.choice(known) for _ in range(draw.randint(1, 60))] for _ in range(12)]

    def changed(text: list[str]) -> str:
        text = list(text)
        for _ in range(draw.choice([0, 0, 1, 2])):
            text[draw.randrange(len(text))] = draw.choice(known)
        return " ".join(text)

    examples = [Example(f"{i}", changed(draw.choice(texts)), changed(draw.choice(texts[:3]))) for i in range(150)]
    found = find_duplicates(examples, "near")
    assert found == _near_by_brute_force(examples) and found


def test_alpaca_in_seconds(shared_data):
    pool = FilePool(path=str(shared_data / "instruction" / "alpaca_52k.jsonl.gz"), drop_invalid=True).load().pool
    again = [*pool, Example("copy", pool[0].instruction.upper(), pool[0].response + "!", pool[0].input)]
    started = time.process_time()
    assert find_duplicates(again, "near") == {"copy": pool[0].id}
    assert time.process_time() - started < 60  # 6 s on one core
