"""How many examples of a selection only repeat others word for word, and how many of a random selection would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import exp, lgamma

from selbench.api import Example


def exact_repeats(examples: Sequence[Example]) -> int:
    """The number of examples less the number of different ones: a text that occurs g times counts g - 1.

    As in data.duplicates, examples are equal if system text, earlier turns, instruction, input and response are.
    """
    return len(examples) - len({_content(example) for example in examples})


def expected_exact_repeats(pool: Sequence[Example], picks: int) -> float:
    """The mean of `exact_repeats` over all selections of `picks` examples from the pool: exact, no simulation.

    The mean number of different texts is the sum, over the texts of the pool, of the chance that at least one of the g
    examples with that text is selected: 1 - C(N - g, picks) / C(N, picks).
    """
    total = len(pool)
    times = Counter(Counter(map(_content, pool)).values())  # g -> number of texts that occur g times
    different = sum(
        texts * (1 - exp(_log_choices(total - size, picks) - _log_choices(total, picks)))
        if total - size >= picks
        else texts
        for size, texts in times.items()
    )
    return max(0.0, picks - different)


def _content(example: Example) -> Hashable:
    return example.system, tuple(map(tuple, example.history)), example.instruction, example.input, example.response


def _log_choices(of: int, picks: int) -> float:
    return lgamma(of + 1) - lgamma(picks + 1) - lgamma(of - picks + 1)
