"""What a record says of a run's scores, its selection and its leaks, as types; read from and written as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


def read_fields(cls: type[T], data: Mapping[str, Any]) -> T:
    """An instance of a dataclass from plain data; what this version does not know is left out."""
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True)
class ScoreRow:
    """One number a suite gave the model on one task; `items` is a count, their values lie beside the record."""

    suite: str
    task: str
    metric: str
    value: float
    higher_is_better: bool = True
    headline: bool = True
    items: int = 0


@dataclass(frozen=True)
class SelectionFacts:
    """What a reader wants to know of a selection; None where nothing was selected, or where it is not known.

    `composition` is the count of each value of source, category, response length and hidden labels; `leaked` the
    distinct selected examples that leak into any suite.
    """

    examples: int | None = None
    response_tokens: int | None = None
    exact_duplicates: int | None = None
    mean_prompt_chars: float | None = None
    mean_response_chars: float | None = None
    composition: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    leaked: int | None = None

    def plain(self) -> dict[str, Any]:
        """Empty where nothing was selected."""
        return dataclasses.asdict(self) if self != SelectionFacts() else {}


@dataclass(frozen=True)
class LeakedTask:
    """One task that leaks: of its items those leaked, their share, how (kind -> items), into how many examples; of
    these the selected ones, with how many items in them; and the items leaked into each target, where any are."""

    items: int
    leaked: int
    share: float
    kinds: Mapping[str, int]
    examples: int
    selected: int
    selected_items: int
    target: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        return data if self.target else {name: value for name, value in data.items() if name != "target"}


@dataclass(frozen=True)
class LeakSummary:
    """What the leak check found of one suite (see data.leaks.summary); `checked` false: unknown, not none."""

    checked: bool
    items: int = 0
    short: int = 0
    leaked: int = 0
    examples: int = 0
    selected: int = 0
    selected_items: int = 0
    target: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, LeakedTask] = field(default_factory=dict)
    selected_examples: tuple[str, ...] = ()

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> LeakSummary:
        tasks = {name: read_fields(LeakedTask, row) for name, row in (data.get("tasks") or {}).items()}
        return read_fields(
            cls, {**data, "tasks": tasks, "selected_examples": tuple(data.get("selected_examples") or ())}
        )

    def plain(self) -> dict[str, Any]:
        if not self.checked:
            return {"checked": False}
        return {**dataclasses.asdict(self), "tasks": {name: task.plain() for name, task in self.tasks.items()}}
