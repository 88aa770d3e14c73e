"""What a record says of a run's scores, its selection and its leaks, as types; read from and written as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from selbench.numbers import number_text

T = TypeVar("T")
FEW = 0.05  # where more than this share of the examples or of their response tokens is cut, a reader is warned


def read_fields(cls: type[T], data: Mapping[str, Any]) -> T:
    """An instance of a dataclass from plain data; what this version does not know is left out."""
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True)
class ScoreRow:
    """One number a suite gave the model on one task; `items` is a count, their values lie beside the record.

    Of `cut` items some text did not fit into the model; `left_out` ones are not in the value.
    """

    suite: str
    task: str
    metric: str
    value: float
    higher_is_better: bool = True
    headline: bool = True
    items: int = 0
    cut: int = 0
    left_out: int = 0

    def out_of(self, items: int | None) -> ScoreRow:
        """The same where the suite is known to have so many items in this task: those without a value are left out."""
        if not items or not self.items:
            return self
        return dataclasses.replace(self, left_out=max(self.left_out, items - self.items))

    @property
    def losses(self) -> str:
        """What of the task is not in its score, or not whole, as a sentence; empty where nothing is missing."""
        of, said = f" of {self.items + self.left_out:,}" if self.items else "", []
        if self.left_out:
            said.append(f"{self.left_out:,}{of} items are left out of the score")
        if self.cut:
            said.append(f"{self.cut:,}{of} items are cut, because they do not fit into the model")
        return f"{self.suite}, {self.task}: {' and '.join(said)}." if said else ""


@dataclass(frozen=True)
class TrainingFacts:
    """What of a selection was trained on; None where nothing was trained, or where it is not known.

    `cut` examples are longer than the training `context` (tokens; `limit` is what sets it), the `dropped` ones among
    them have no response left within it. `response_tokens` are those in the loss, with the token that closes a response:
    of all selected examples, were nothing cut; `response_tokens_kept` those within the context, which one epoch trains
    on; `response_tokens_trained` those of the whole training, as the trainer counts them, like `trained`, which is
    fewer than what is not dropped where training ends within an epoch. `contradicted` are the trainer's own counts of cut
    and dropped examples where they are others than those measured here. `template` is how prompts are written.
    """

    context: int | None = None
    limit: str = ""
    selected: int | None = None
    trained: int | None = None
    cut: int | None = None
    dropped: int | None = None
    response_tokens: int | None = None
    response_tokens_kept: int | None = None
    response_tokens_trained: int | None = None
    template: str = ""
    contradicted: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_log(cls, logged: Mapping[str, float]) -> TrainingFacts:
        """Of a record that was made before there were such facts: what its trainer logged."""
        plain = {word: logged[f"training/{word}"] for word in _LOGGED.values() if f"training/{word}" in logged}
        return read_fields(cls, _said(plain))

    def with_log(self, logged: Mapping[str, float]) -> TrainingFacts:
        """The same after a training that logged these numbers."""
        said = _said(logged)
        counted = ("cut", "dropped")
        other: dict[str, int] = {
            name: said[name] for name in counted if name in said and said[name] != getattr(self, name)
        }
        return dataclasses.replace(
            self,
            trained=said.get("trained", self.trained),
            response_tokens_trained=said.get("response_tokens_trained", self.response_tokens_trained),
            contradicted=other,
        )

    @property
    def lost(self) -> float | None:
        """The share of the selected response tokens that do not fit into the context."""
        if self.response_tokens is None or self.response_tokens_kept is None:
            return None
        return 1 - self.response_tokens_kept / self.response_tokens if self.response_tokens else 0.0

    @property
    def loses_much(self) -> bool:
        """Whether more than FEW of the examples or of their response tokens do not fit."""
        cut = (self.cut or 0) / self.selected if self.selected else 0.0
        return max(cut, self.lost or 0.0) > FEW

    @property
    def losses(self) -> str:
        """What the context cuts and drops, as a sentence; empty where nothing is cut."""
        if not self.cut or not self.selected or self.context is None:
            return ""
        dropped = f" and drops {self.dropped:,}, of whose response nothing is left" if self.dropped else ""
        return (
            f"a training context of {self.context:,} tokens ({self.limit}; template {self.template}) cuts {self.cut:,} of "
            f"{self.selected:,} examples{dropped}; {number_text(100 * (self.lost or 0.0), 1)} % of their response tokens "
            "are not trained on."
        )

    @property
    def contradiction(self) -> str:
        """Where the trainer counts other cut or dropped examples than are measured, as a sentence; empty elsewhere."""
        said = " and ".join(f"{count:,} {name} examples" for name, count in self.contradicted.items())
        mine = " and ".join(f"{getattr(self, name) or 0:,}" for name in self.contradicted)
        return f"the trainer counts {said}, where {mine} are measured." if said else ""

    def plain(self) -> dict[str, Any]:
        """Empty where nothing was trained."""
        return dataclasses.asdict(self) if self != TrainingFacts() else {}


# Facts of a training, and what a trainer logs them as.
_LOGGED = {
    "trained": "trained_examples",
    "cut": "truncated_examples",
    "dropped": "dropped_examples",
    "response_tokens_trained": "response_tokens_seen",
}


def _said(logged: Mapping[str, float]) -> dict[str, int]:
    return {name: int(logged[word]) for name, word in _LOGGED.items() if word in logged}


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
