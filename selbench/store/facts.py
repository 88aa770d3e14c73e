"""The types of a record's parts: scores, facts of the selection, leaks. Each is read from and written as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


def read_fields(cls: type[T], data: Mapping[str, Any]) -> T:
    """An instance of a dataclass from plain data; fields that this version does not know are left out."""
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True)
class ScoreRow:
    """One score that a suite gave the model on one task."""

    suite: str
    task: str
    metric: str
    value: float
    higher_is_better: bool = True
    headline: bool = True  # whether it counts in the suite's headline, the mean of such scores
    items: int = 0  # the number of test items; their values are in a file beside the record


@dataclass(frozen=True)
class SelectionFacts:
    """The facts of a selection; None where nothing was selected, or where a fact is not known."""

    examples: int | None = None
    response_tokens: int | None = None
    exact_duplicates: int | None = None  # selected examples that only repeat another selected one
    mean_prompt_chars: float | None = None
    mean_response_chars: float | None = None
    # Source, category, response length or hidden label -> value -> number of selected examples.
    composition: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    leaked: int | None = None  # distinct selected examples that leak into any suite

    def plain(self) -> dict[str, Any]:
        """As record.json holds them; empty where nothing was selected."""
        return dataclasses.asdict(self) if self != SelectionFacts() else {}


@dataclass(frozen=True)
class LeakedTask:
    """One task with test items that stand in the pool, in the selection or in the target examples (docs/leaks.md)."""

    items: int  # test items of the task
    leaked: int  # of these, found in the pool
    share: float  # leaked / items
    kinds: Mapping[str, int]  # kind of leak -> items
    examples: int  # of the pool that hold a leaked item
    selected: int  # of these examples, selected
    selected_items: int  # items in the selected examples
    target: Mapping[str, int] = field(default_factory=dict)  # capability -> items found in its target examples

    def plain(self) -> dict[str, Any]:
        """As record.json holds it; `target` is left out where no target example holds an item."""
        data = dataclasses.asdict(self)
        return data if self.target else {name: value for name, value in data.items() if name != "target"}


@dataclass(frozen=True)
class LeakSummary:
    """What the leak check found of one suite (see data.leaks.leak_summary)."""

    checked: bool  # false: the suite gives no texts of its items, so that leaks are unknown, not absent
    items: int = 0
    short: int = 0  # items that are too short to be searched for
    leaked: int = 0
    examples: int = 0  # of the pool that hold a leaked item
    selected: int = 0  # of these examples, selected
    selected_items: int = 0  # items in the selected examples
    target: Mapping[str, int] = field(default_factory=dict)  # capability -> items found in its target examples
    tasks: Mapping[str, LeakedTask] = field(default_factory=dict)  # the tasks that leak
    selected_examples: tuple[str, ...] = ()  # ids

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> LeakSummary:
        """From the plain data of a record; fields that this version does not know are left out."""
        tasks = {name: read_fields(LeakedTask, row) for name, row in (data.get("tasks") or {}).items()}
        return read_fields(
            cls, {**data, "tasks": tasks, "selected_examples": tuple(data.get("selected_examples") or ())}
        )

    def plain(self) -> dict[str, Any]:
        """As record.json holds it."""
        if not self.checked:
            return {"checked": False}
        return {**dataclasses.asdict(self), "tasks": {name: task.plain() for name, task in self.tasks.items()}}
