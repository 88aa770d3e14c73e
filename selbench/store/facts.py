"""The types of a record's parts: scores, facts of the selection, leaks. Each is read from and written as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from selbench.numbers import number_text

T = TypeVar("T")
FEW = 0.05  # where more than this share of the examples or of their response tokens is cut, a reader is warned


def read_fields(cls: type[T], data: Mapping[str, Any]) -> T:
    """An instance of a dataclass from plain data; fields that this version does not know are left out."""
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True)
class HubCommit:
    """A repository of the Hugging Face hub that a part of a run was taken from, and the commit that it was taken at."""

    part: str  # pool, model, target, scorer, selector, trainer, suite.NAME
    kind: Literal["model", "dataset"]
    name: str  # owner/name
    revision: str | None = None  # the branch, tag or commit that was asked for; None: the main branch
    commit: str | None = None  # None: not known

    @property
    def text(self) -> str:
        """`owner/name@v2 3f2a...`, without the main branch."""
        at = f"@{self.revision}" if self.revision and self.revision != self.commit else ""
        return f"{self.name}{at} {self.commit or 'at an unknown commit'}"


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
    cut: int = 0  # items that were scored although some of their text did not fit into the model
    left_out: int = 0  # items that are not in the value

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
        return read_fields(cls, _counts_logged(plain))

    def with_log(self, logged: Mapping[str, float]) -> TrainingFacts:
        """The same after a training that logged these numbers."""
        said = _counts_logged(logged)
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


def _counts_logged(logged: Mapping[str, float]) -> dict[str, int]:
    return {name: int(logged[word]) for name, word in _LOGGED.items() if word in logged}


@dataclass(frozen=True)
class SelectionFacts:
    """The facts of a selection; None where nothing was selected, or where a fact is not known."""

    examples: int | None = None
    response_tokens: int | None = None
    exact_duplicates: int | None = None  # selected examples that only repeat another selected one, word for word
    exact_duplicates_by_chance: float | None = None  # the mean of that over random selections of as many examples
    mean_prompt_chars: float | None = None
    mean_response_chars: float | None = None
    # Source, category, response length or hidden label -> value -> number of selected examples.
    composition: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    leaked: int | None = None  # distinct selected examples that leak into any suite
    # How near the last pick was to the best example left out: the difference of their scores, or of their distances for
    # k-center. None where the selector does not say it, or leaves nothing out.
    margin: float | None = None
    asked: int | None = None  # the budget, in its unit, where the selector stopped short of it
    # What the selector drew at random once for all seeds ("autoencoder"): its luck is in no interval over seeds.
    drawn_once: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "drawn_once", tuple(self.drawn_once or ()))

    @property
    def repeats_much(self) -> bool:
        """Whether exact duplicates are more than FEW of the selection, and more than twice as many as by chance."""
        count, chance = self.exact_duplicates or 0, self.exact_duplicates_by_chance
        return chance is not None and count > max(FEW * (self.examples or 0), 2 * chance)

    @property
    def repeats(self) -> str:
        """How many selected examples repeat another one, beside chance, as a sentence; empty where none does."""
        if not self.exact_duplicates or not self.examples:
            return ""
        chance = self.exact_duplicates_by_chance
        beside = "" if chance is None else f"; of a random selection of that size, {number_text(chance, 1)} would"
        return (
            f"{self.exact_duplicates:,} of {self.examples:,} selected examples repeat another selected one word for "
            f"word (exact duplicates){beside}."
        )

    def stopped_short(self, unit: str) -> str:
        """`412 of the 1,000 examples of its budget: ...` by the unit of the budget, as a sentence; empty if it did not."""
        if self.asked is None:
            return ""
        got = self.examples if unit == "examples" else self.response_tokens
        return f"{got:,} of the {self.asked:,} {unit} of the budget were selected: the method found no more."

    def plain(self) -> dict[str, Any]:
        """As record.json holds them, some only where they say something; empty where nothing was selected."""
        if self == SelectionFacts():
            return {}
        silent = [name for name, value in (("drawn_once", self.drawn_once), ("asked", self.asked)) if not value]
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in silent}


@dataclass(frozen=True)
class FilterFacts:
    """What the filters of a pool or target have left out of it or changed, before selection (docs/leaks.md)."""

    of: int = 0  # examples before
    kept: int = 0  # examples after
    leaks: Mapping[str, int] = field(default_factory=dict)  # suite -> examples left out because they hold its items
    duplicates: Mapping[str, int] = field(default_factory=dict)  # exact or near -> examples left out as such
    system: str = ""  # drop or into_user, where that has changed an example

    @property
    def dropped(self) -> int:
        """The examples that were left out; one that holds items of two suites counts once."""
        return self.of - self.kept

    @property
    def words(self) -> str:
        """`without items of mmlu, without near duplicates`; empty if nothing was left out or changed."""
        found = [f"system={self.system}"] if self.system else []
        found += [f"without items of {' and '.join(self.leaks)}"] if self.leaks else []
        return ", ".join([*found, *(f"without {kind} duplicates" for kind in self.duplicates)])

    def named(self, name: str) -> str:
        """The name of a pool or target with its filters: `alpaca (without near duplicates)`."""
        return f"{name} ({self.words})" if self.words else name

    @property
    def sentence(self) -> str:
        """What was left out, and why; empty if nothing was."""
        said = [f"{count:,} hold{'s' * (count == 1)} items of {suite}" for suite, count in self.leaks.items()]
        said += [
            f"{count:,} {'repeats an earlier one' if count == 1 else 'repeat earlier ones'} ({kind} duplicates)"
            for kind, count in self.duplicates.items()
        ]
        are = "is" if self.dropped == 1 else "are"
        return f"{self.dropped:,} of {self.of:,} examples {are} left out: {', '.join(said)}." if said else ""

    def plain(self) -> dict[str, Any]:
        """As record.json holds it; `system` is left out where no system prompt was changed."""
        data = dataclasses.asdict(self)
        return data if self.system else {name: value for name, value in data.items() if name != "system"}


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
    target_examples: Mapping[str, int] = field(default_factory=dict)  # capability -> target examples that hold them
    tasks: Mapping[str, LeakedTask] = field(default_factory=dict)  # the tasks that leak
    selected_examples: tuple[str, ...] = ()  # ids

    def target_sentences(self, suite: str) -> list[str]:
        """A sentence for each target that holds items of this suite."""
        return [
            f"target '{name}' holds {count:,} of {self.items:,} items of suite '{suite}'"
            + (f" in {self.target_examples[name]:,} of its examples" if name in self.target_examples else "")
            for name, count in self.target.items()
            if count
        ]

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
