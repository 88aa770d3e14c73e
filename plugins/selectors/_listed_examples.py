"""Which examples of a pool the rows of a file name, and which rows name none."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selbench.api import Example, Pool
from selbench.data.forms import Malformed, example_of_row

_NO_INPUT = re.compile(r"\W*no\s*input\W*", re.IGNORECASE)
SHOWN = 3  # rows that name no example are shown in messages, at most so many


@dataclass(frozen=True)
class Matched:
    """The examples that a file names, in the order of its rows."""

    rows: list[int]  # the numbers of the rows that name an example, from 0
    positions: list[int]  # the position in the pool of the example that each of them names
    unmatched: list[int]  # the rows that name none
    shared: int = 0  # the rows that fit several examples of the pool


def by_number(numbers: Sequence[int | None], pool: Pool) -> Matched:
    """The examples with these numbers, counted from 0 in the pool's order."""
    return _matched([None if number is None or not 0 <= number < len(pool) else number for number in numbers])


def by_id(ids: Sequence[str | None], pool: Pool) -> Matched:
    """The examples with these ids."""
    place = {id: position for position, id in enumerate(pool.ids)}
    return _matched([None if id is None else place.get(id) for id in ids])


def by_text(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], pool: Pool, said: Callable[[Example], Hashable]
) -> Matched:
    """The examples of which `said` gives the same as of the example in the row.

    Where several do, the rows take them in turn: the first row the first in the pool, and one more row than there are such
    examples names none.
    """
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for position, example in enumerate(pool):
        waiting[said(example)].append(position)
    several = {text for text, positions in waiting.items() if len(positions) > 1}
    found: list[int | None] = []
    shared = 0
    for row in rows:
        text = said_in(row, columns, said)
        shared += text in several
        left = waiting.get(text)
        found.append(left.popleft() if left else None)
    matched = _matched(found)
    return Matched(matched.rows, matched.positions, matched.unmatched, shared)


def said_in(row: Mapping[str, Any], columns: Mapping[str, str], said: Callable[[Example], Hashable]) -> Hashable:
    """What `said` gives of the example in a row; None for a row that holds no example."""
    try:
        return said(example_of_row(row, columns, Counter()))
    except Malformed:
        return None


def whole_text(example: Example) -> Hashable:
    """All turns and the system prompt, whatever the whitespace."""
    return prompt_text(example), _plain(example.response)


def prompt_text(example: Example) -> Hashable:
    """All that stands before the response, whatever the whitespace."""
    # "<noinput>", "No input.": how copies of Alpaca say that there is none, each in its own way.
    none = _NO_INPUT.fullmatch(example.input)
    return _plain((dataclasses.replace(example, input="") if none else example).prompt)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _matched(found: Sequence[int | None]) -> Matched:
    named = [(row, position) for row, position in enumerate(found) if position is not None]
    return Matched(
        [row for row, _ in named],
        [position for _, position in named],
        [row for row, position in enumerate(found) if position is None],
    )


def shown_rows(rows: Sequence[int], places: Sequence[str], values: Sequence[Any]) -> str:
    """`line 3 ('0007'), line 9 ('x'), and 4 more`."""
    first = [f"{places[row]} ({_short(values[row])})" for row in rows[:SHOWN]]
    more = len(rows) - len(first)
    return ", ".join(first) + (f", and {more:,} more" if more else "")


def counted(number: int, noun: str) -> str:
    """`1 row`, `5,305 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):  # the text that tells most of a row
        value = next((text for text in value.values() if isinstance(text, str) and text), "")
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
