"""Leak check: which items of a suite occur, whole or in long runs of words, in training examples.

Shared words are evidence, not proof: what is done about them is for others to decide (docs/leaks.md).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from selbench.api import Example, Pool
from selbench.data.ngrams import STOP, Runs, sentences, words
from selbench.errors import PluginError

Kind = Literal["exact", "ngram", "whole"]
KINDS: tuple[Kind, ...] = ("exact", "ngram", "whole")
Items = Mapping[str, Mapping[str, str]]  # task -> item id -> the item's own words

NGRAM = 13  # words: GPT-3's longest (Brown et al. 2020, appendix C)
SHORTEST = 8  # words: GPT-3's shortest; a shorter item leaks only if it is a whole part of an example
LEAST = 3  # words: shorter items ("table", "inflation") occur in any text and are not searched for
COMMON = 10, 0.05  # number and share of a task's items; a run in more of both is the task's own wording
BLOCK = 20_000  # examples that are held as words at one time, to bound memory

Parts = Sequence[Sequence[str]]  # an example: for each of its parts, the words and stops of `sentences`


@dataclass(frozen=True)
class _Item:
    task: str
    id: str
    said: list[str]  # words and stops, as `sentences` gives them

    @cached_property
    def words(self) -> list[str]:
        return words(self.said)


# A search for one kind of leak: from N examples to pairs (position of the example, item in it).
Find = Callable[[Sequence[Parts]], Iterator[tuple[int, _Item]]]


@dataclass
class TaskLeaks:
    """The leaks of one task of a suite."""

    items: int  # number of items
    short: int = 0  # number of items with fewer than LEAST words
    leaked: dict[str, Kind] = field(default_factory=dict)  # id of a leaked item -> the strongest kind found
    examples: dict[str, list[str]] = field(default_factory=dict)  # id of an example -> ids of the items in it

    @property
    def share(self) -> float:
        """The share of the items that leak, the short ones counted as items."""
        return len(self.leaked) / self.items if self.items else 0.0

    def note(self, item: str, example: str, kind: Kind) -> None:
        """Record that the item (id) was found in the example (id)."""
        self.leaked[item] = min(self.leaked.get(item, kind), kind, key=KINDS.index)
        found = self.examples.setdefault(example, [])
        if item not in found:
            found.append(item)


@dataclass(frozen=True)
class Leaks:
    """The leaks of one suite's items in one set of examples, per task."""

    tasks: dict[str, TaskLeaks]

    @property
    def items(self) -> int:
        return sum(task.items for task in self.tasks.values())

    @property
    def short(self) -> int:
        return sum(task.short for task in self.tasks.values())

    @property
    def leaked(self) -> int:
        return sum(len(task.leaked) for task in self.tasks.values())

    @property
    def examples(self) -> set[str]:
        return {id for task in self.tasks.values() for id in task.examples}

    def plain(self) -> dict[str, Any]:
        """The leaks as plain data for JSON; `Leaks.of` reads it back."""
        return {name: dataclasses.asdict(task) for name, task in self.tasks.items()}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Leaks:
        return cls({name: TaskLeaks(**task) for name, task in plain.items()})


def find_leaks(examples: Iterable[Example], items: Items, n: int = NGRAM, shortest: int = SHORTEST) -> Leaks:
    """Search every example (system, earlier turns, prompt and response) for every item, by normalised words.

    An item leaks if an example has it, word for word, as one of its parts (`exact`), shares a run of `n` words with it
    (`ngram`), or, for an item of `shortest` to n - 1 words, contains it as complete sentences (`whole`). Runs that are
    in more items of a task than COMMON allows are the task's wording and no evidence; items of fewer than LEAST words
    are counted as `short` and not searched for.

    Args:
        examples: the examples that may be trained on.
        items: task -> item id -> the item's words.
        n: the length in words of a run that counts; GPT-3's longest (Brown et al. 2020, appendix C).
        shortest: the least number of words of an item that is searched for as sentences.
    """
    looked = [_Item(task, id, sentences(text)) for task, group in items.items() for id, text in group.items()]
    tasks = {name: TaskLeaks(len(group)) for name, group in items.items()}
    for item in looked:
        tasks[item.task].short += len(item.words) < LEAST
    finders = _finders_by_kind([item for item in looked if len(item.words) >= LEAST], n, shortest)
    rest = iter(examples)
    while block := list(islice(rest, BLOCK)):
        parts = [[sentences(text) for text in _text_parts(example)] for example in block]
        for kind, find in finders.items():
            for place, item in find(parts):
                tasks[item.task].note(item.id, block[place].id, kind)
    return Leaks(tasks)


def _finders_by_kind(items: Sequence[_Item], n: int, shortest: int) -> dict[Kind, Find]:
    """The search for each kind of leak, with its index of the items built once for all examples."""
    whole: dict[tuple[str, ...], list[_Item]] = {}
    for item in items:
        whole.setdefault(tuple(item.words), []).append(item)
    long = [item for item in items if len(item.words) >= n]
    medium = [item for item in items if shortest <= len(item.words) < n]
    # `n`-word runs are compared without stops, so that punctuation cannot hide a quotation; complete sentences with them.
    windows = _telling_runs(long, n)
    grams = Runs([run for run, _ in windows], [number for _, number in windows])
    statements = Runs([item.said for item in medium], range(len(medium)))

    def exact(parts: Sequence[Parts]) -> Iterator[tuple[int, _Item]]:
        for place, own in enumerate(parts):
            for said in _whole_texts(own):
                for item in whole.get(said, ()):
                    yield place, item

    def ngram(parts: Sequence[Parts]) -> Iterator[tuple[int, _Item]]:
        found = grams.find([words([word for part in own for word in part]) for own in parts])
        return ((place, long[number]) for place, number in found.tolist())

    def sentence(parts: Sequence[Parts]) -> Iterator[tuple[int, _Item]]:
        found = statements.find([_joined_sentences(own) for own in parts])
        return ((place, medium[number]) for place, number in found.tolist())

    return {"exact": exact, "ngram": ngram, "whole": sentence}


def _text_parts(example: Example) -> list[str]:
    """The texts of an example: system, earlier turns, instruction, input, response."""
    turns = [text for turn in example.history for text in turn]
    return [example.system, *turns, example.instruction, example.input, example.response]


def _whole_texts(parts: Parts) -> set[tuple[str, ...]]:
    """The word sequences that an item may equal: every part, and the parts that are read together."""
    *before, instruction, given, response = [words(part) for part in parts]
    joined = [word for part in before for word in part]
    question = instruction + given
    alone = [] if given else [instruction]  # an instruction with an input is not a question without it
    every = [*before, *alone, given, response, question, joined + question, joined + question + response]
    return {tuple(said) for said in every}


def _joined_sentences(parts: Parts) -> list[str]:
    """The words and stops of the whole example, with one stop between parts."""
    return [STOP, *(word for part in parts for word in part[1:])]


def _telling_runs(items: Sequence[_Item], n: int) -> list[tuple[tuple[str, ...], int]]:
    """The runs of n words with the positions of their items, without the runs that are a task's own wording."""
    windows = [
        sorted({tuple(item.words[start : start + n]) for start in range(len(item.words) - n + 1)}) for item in items
    ]
    often = Counter((item.task, run) for item, own in zip(items, windows) for run in own)
    most = {task: max(COMMON[0], COMMON[1] * size) for task, size in Counter(item.task for item in items).items()}
    return [
        (run, number)
        for number, (item, own) in enumerate(zip(items, windows))
        for run in own
        if often[item.task, run] <= most[item.task]
    ]


def suite_texts(suite: Any) -> Items | None:
    """The words of the suite's items, from its `texts()`; None for a suite without that method, which cannot be checked.

    Raises PluginError if `texts()` returns something else than task -> item id -> text.
    """
    if not hasattr(suite, "texts"):
        return None
    items: Items = suite.texts()
    if not isinstance(items, Mapping) or not all(isinstance(group, Mapping) for group in items.values()):
        raise PluginError(f"suite '{suite.plugin_name}': texts() must give task -> item id -> text.")
    return items


def suite_leaks(examples: Pool, suite: Any) -> Leaks | None:
    """The leaks of one suite's items in a pool, or in the examples of a target; None for a suite without `texts`."""
    items = suite_texts(suite)
    return None if items is None else find_leaks(examples, items)


def leak_summary(pool: Leaks | None, target: Mapping[str, Leaks | None], selected: Iterable[str]) -> dict[str, Any]:
    """What a record keeps of one suite's leaks in a pool and in the targets (by name), for one selection (ids).

    For the pool: `leaked` of `items` (of which `short` are too short to search for), and the number of `examples` they
    are in; how many of these examples are `selected`, how many items are in those (`selected_items`), and their ids
    (`selected_examples`). `target` has the number of leaked items per target, `target_examples` that of the examples
    that hold them, and `tasks` a row for each task with leaks. A suite that cannot be checked gives
    {"checked": False}, which means unknown and not "no leaks".
    """
    known = {name: leaks for name, leaks in target.items() if leaks is not None}
    if pool is None or len(known) < len(target):
        return {"checked": False}
    chosen = set(selected)
    rows = {name: _task_row(task, chosen) for name, task in pool.tasks.items() if task.leaked}
    for capability, leaks in known.items():
        for name, task in leaks.tasks.items():
            if task.leaked:
                rows.setdefault(name, _task_row(pool.tasks[name], chosen)).setdefault("target", {})[capability] = len(
                    task.leaked
                )
    return {
        "checked": True,
        "items": pool.items,
        "short": pool.short,
        "leaked": pool.leaked,
        "examples": len(pool.examples),
        "selected": len(chosen & pool.examples),
        "selected_items": sum(row["selected_items"] for row in rows.values()),
        "target": {name: leaks.leaked for name, leaks in known.items()},
        "target_examples": {name: len(leaks.examples) for name, leaks in known.items()},
        "tasks": rows,
        "selected_examples": sorted(chosen & pool.examples),
    }


def _task_row(task: TaskLeaks, chosen: set[str]) -> dict[str, Any]:
    """The figures of one task for `leak_summary`; `chosen` are the ids of the selection."""
    hit = [id for id in task.examples if id in chosen]
    kinds = Counter(task.leaked.values())
    return {
        "items": task.items,
        "leaked": len(task.leaked),
        "share": task.share,
        "kinds": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        "examples": len(task.examples),
        "selected": len(hit),
        "selected_items": len({item for id in hit for item in task.examples[id]}),
    }


def selected_leaks(summaries: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The number of distinct selected examples that hold an item of any suite.

    `summaries`: suite -> result of `leak_summary`. None means unknown: no leak was found, but some suite is unchecked.
    """
    found = {id for about in summaries.values() for id in about.get("selected_examples", ())}
    return len(found) if found or all(about["checked"] for about in summaries.values()) else None
