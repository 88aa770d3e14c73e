"""What a plugin author imports. Everything here is light, so that listing plugins loads no torch.

The vocabulary: an `Example` of a `Pool` (`LoadedPool`: with its hidden labels, as a pool plugin gives it), the `Budget`
and the `Selection` it allows, where a model is (`ModelRef`), a `Score` of it, and the `Context` that a plugin is handed.

The decorators `@selector`, `@trainer`, `@suite` and `@pool` make a class a plugin: a dataclass whose fields are its
options. What its one method takes and gives stand in `Selector`, `Trainer`, `Suite` and `PoolSource`; a type checker
holds the class to them. The facts that `@selector` takes say what a selection depends on. A selector may have
`needs(seed) -> Sequence[FeatureSpec]`, the features that it will ask its context for, so that a plan knows their cost.

A feature is any frozen dataclass with `needs_scorer` and `compute`, as `FeatureSpec` says; `Feature` is what it gives.
Those that come with selbench are in `selbench.features`, the optimisers in `selbench.optimize`: docs/plugins.md lists
them and shows how to write one.

To refuse: `UserError` for what the user can mend, `NotApplicable` for a method that does not apply here,
`PluginError` for a plugin that breaks its contract.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, overload

import numpy as np
from typing_extensions import dataclass_transform

from selbench import declare
from selbench.errors import NotApplicable, PluginError, UserError, unknown

__all__ = [
    "Budget",
    "Context",
    "Example",
    "Feature",
    "FeatureSpec",
    "LoadedPool",
    "ModelRef",
    "NotApplicable",
    "PluginError",
    "Pool",
    "PoolSource",
    "Score",
    "Selection",
    "Selector",
    "Suite",
    "Trainer",
    "UserError",
    "pool",
    "selector",
    "suite",
    "trainer",
]

T = TypeVar("T")
Feature = Mapping[str, np.ndarray]


# ---------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Example:
    """One instruction-response item.

    `history` holds earlier (user, assistant) turns of a multi-turn conversation; `response` is the last
    assistant turn. `source` and `category` are visible metadata. Hidden labels are never stored here.
    """

    id: str
    instruction: str
    response: str
    input: str = ""
    system: str = ""
    history: tuple[tuple[str, str], ...] = ()
    source: str = ""
    category: str = ""

    @property
    def question(self) -> str:
        """The last user turn: the instruction, and the input below it where there is one."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    @property
    def prompt(self) -> str:
        """All text before the response, without any template."""
        turns = [text for turn in self.history for text in turn]
        return "\n\n".join(part for part in [self.system, *turns, self.question] if part)

    @property
    def text(self) -> str:
        """Prompt and response, without any template."""
        return f"{self.prompt}\n\n{self.response}"

    @property
    def content_hash(self) -> str:
        """A hash of what is said, blind to the id: equal for exact duplicates."""
        said = [self.system, self.history, self.instruction, self.input, self.response]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


class Pool(Sequence[Example]):
    """An ordered, fingerprinted set of examples with distinct ids.

    Raises:
        UserError: the pool is empty or an id occurs twice.
    """

    def __init__(self, examples: Iterable[Example], name: str = "pool") -> None:
        self.examples = tuple(examples)
        self.name = name
        if not self.examples:
            raise UserError(f"pool '{name}' is empty: there is nothing to select from.")
        if len(self._positions) != len(self.examples):
            seen: set[str] = set()
            twice = next(e.id for e in self.examples if e.id in seen or seen.add(e.id))  # type: ignore[func-returns-value]
            raise UserError(f"pool '{name}' has the id '{twice}' more than once; ids must be distinct.")

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        return self.examples[index]

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(example.id for example in self.examples)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {example.id: position for position, example in enumerate(self.examples)}

    def position(self, id: str) -> int:
        """Where the example with this id stands. Raises KeyError for a foreign id."""
        return self._positions[id]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all ids and content, in order: what every cached stage over this pool is keyed by."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(json.dumps(dataclasses.astuple(example), ensure_ascii=False).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class LoadedPool:
    """A pool, and the hidden labels of its examples by id: for reports only, empty for pools without any."""

    pool: Pool
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# ---------------------------------------------------------------------------------- budget, selection


@dataclass(frozen=True, eq=False)
class Budget:
    """How much of one pool may be selected.

    `costs` is what each example costs (N integers: ones, or response tokens) and `limit` what may be spent.
    Examples are taken in order until the next one no longer fits; that rule keeps smaller budgets prefixes.
    """

    ids: tuple[str, ...]
    costs: np.ndarray
    limit: int
    unit: str = "examples"

    @classmethod
    def of(
        cls, pool: Pool, amount: float, unit: str = "examples", tokens: Sequence[int] | np.ndarray | None = None
    ) -> Budget:
        """A float is a share of the pool (0 < share <= 1, rounded down), an int a number of `unit`s.

        `tokens` (N response-token counts) is needed for unit "tokens". Raises UserError outside the range.
        """
        if unit not in ("examples", "tokens"):
            raise UserError(unknown("budget_unit", unit, ("examples", "tokens")))
        if unit == "tokens" and tokens is None:
            raise UserError("budget_unit=tokens needs the response-token counts of the pool.")
        costs = np.ones(len(pool), np.int64) if unit == "examples" else np.asarray(tokens, np.int64)
        total = int(costs.sum())
        share = isinstance(amount, float)
        # 0.15 * 52000 must not lose an example to binary rounding; shares have no more than 9 decimals.
        limit = int(np.floor(round(amount * total, 9))) if share else int(amount)
        if share and not 0 < amount <= 1:
            raise UserError(
                f"budget={amount} is not a share: a share is above 0 and at most 1.0; "
                f"for a number of {unit} write a whole number (1 to {total})."
            )
        if not 1 <= limit <= total:
            raise UserError(
                f"budget={amount} selects {limit} {unit}, but pool '{pool.name}' has {total}: valid 1 to {total}."
            )
        return cls(pool.ids, costs, limit, unit)

    @property
    def most(self) -> int:
        """The largest number of examples that could fit: how far a ranking has to go."""
        return int(np.searchsorted(np.cumsum(np.sort(self.costs)), self.limit, side="right"))

    def take(self, order: Iterable[int]) -> np.ndarray:
        """The longest prefix of `order` (positions in the pool, best first) that fits."""
        positions = np.asarray(order if isinstance(order, np.ndarray) else list(order), np.int64)
        return positions[: int(np.searchsorted(np.cumsum(self.costs[positions]), self.limit, side="right"))]


@dataclass(frozen=True, eq=False)
class Selection:
    """Ids, best first. `scores` are aligned with `ids`; `diagnostics` (arrays, numbers) explain the choice."""

    ids: tuple[str, ...]
    scores: np.ndarray | None = None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def ranked(cls, scores: Sequence[float] | np.ndarray, budget: Budget, **diagnostics: Any) -> Selection:
        """Highest score first (N scores, one per example); ties go to the lower position; NaN ranks last."""
        values = np.asarray(scores, np.float64)
        if values.shape != (len(budget.ids),):
            raise PluginError(f"expected {len(budget.ids)} scores, one per example, but got shape {values.shape}.")
        return cls.ordered(np.argsort(-values, kind="stable"), budget, scores=values, **diagnostics)

    @classmethod
    def ordered(
        cls, order: Iterable[int], budget: Budget, scores: np.ndarray | None = None, **diagnostics: Any
    ) -> Selection:
        """From positions in the pool, best first. `scores` has one value per example of the pool."""
        taken = budget.take(order)
        return cls(
            ids=tuple(budget.ids[position] for position in taken),
            scores=None if scores is None else np.asarray(scores)[taken],
            diagnostics=diagnostics,
        )


# ------------------------------------------------------------------------------------ models, scores


@dataclass
class ModelRef:
    """Where a causal language model is: a folder or a hub name, loadable by transformers.

    `template` says how prompts are written: "auto" (the tokenizer's chat template if it has one, else Alpaca), "chat",
    "alpaca", "plain" (prompt and response without any words around them), or a file with a chat template in Jinja.
    `adapter` is a LoRA folder on top of `path`. `max_length` is the training context; of a scorer, what it reads at most.
    """

    name: str = ""
    path: str = ""
    revision: str | None = None
    adapter: str | None = None
    template: str = "auto"
    dtype: str = "auto"
    max_length: int = 2048


@dataclass(frozen=True)
class Score:
    """One number a suite gives a model on one task.

    `items` holds the value of every test item (verdicts are paired by item). The suite's headline is the mean
    of its headline scores; a score per category, say, is kept with `headline=False`. `cut` items were scored although
    some of their text did not fit into the model, `left_out` ones are not in the value.
    """

    task: str
    metric: str
    value: float
    higher_is_better: bool = True
    headline: bool = True
    items: Mapping[str, float] = field(default_factory=dict)
    cut: int = 0
    left_out: int = 0


# --------------------------------------------------------------------------------------------- context


class FeatureSpec(Protocol):
    """Something computed per example and cached: a frozen dataclass whose fields are all that can change its values.

    `needs_scorer` says whether it looks through the scorer (and so depends on it).
    """

    needs_scorer: ClassVar[bool]

    def compute(self, pool: Pool, context: Context) -> Feature: ...


class Context:
    """What a plugin is handed besides its inputs: seeded randomness, features, progress, a scratch folder.

    A plugin draws randomness only from `rng`/`seed`, writes only under `scratch`, and reports numbers with `log`.
    Without a framework around it (in a notebook) `Context(pool)` computes features directly.
    """

    def __init__(
        self,
        pool: Pool | None = None,
        *,
        seed: int = 0,
        scorer: ModelRef | None = None,
        target: Mapping[str, Pool] | None = None,
        scratch: Path | None = None,
        checkpoint: Path | None = None,
        feature_store: Callable[[FeatureSpec, Pool, Context], Feature] | None = None,
    ) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.logged: dict[str, float] = {}
        self._pool = pool
        self._scorer = scorer
        self._target = target
        self._scratch = scratch
        self._checkpoint = checkpoint
        self._feature_store = feature_store

    @property
    def scorer(self) -> ModelRef:
        """The model the selector looks through."""
        if self._scorer is None:
            raise UserError("this method looks through a model: name one with scorer=... or model=...")
        return self._scorer

    @property
    def target(self) -> Mapping[str, Pool]:
        """The examples a targeted method may look at, per capability; never test items."""
        if not self._target:
            raise UserError("this method needs target examples: name them with target=...")
        return self._target

    @property
    def scratch(self) -> Path:
        """A folder this plugin may write to."""
        if self._scratch is None:
            import tempfile

            self._scratch = Path(tempfile.mkdtemp(prefix="selbench-"))
        return self._scratch

    @property
    def checkpoint(self) -> Path | None:
        """A folder that outlives an interruption: long work finds there what it wrote before, and goes on from it.

        It is emptied once the work is done. None without a framework around.
        """
        return self._checkpoint

    def features(self, spec: FeatureSpec, of: Pool | None = None) -> Feature:
        """The arrays `spec` stands for, over the pool (or over `of`), computed once and cached."""
        pool = of or self._pool
        if pool is None:
            raise UserError("this context has no pool: pass one, Context(pool), or name it, features(spec, of=pool).")
        return self._feature_store(spec, pool, self) if self._feature_store else spec.compute(pool, self)

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """`items`, with a progress bar on a terminal and silence elsewhere."""
        from tqdm import tqdm

        return tqdm(items, desc=label, total=total, disable=None, leave=False)

    def log(self, **numbers: float) -> None:
        """Numbers that belong in the record: losses, steps, tokens, diagnostics.

        `flops`, an estimate of the floating-point operations of the work, becomes part of its cost.
        """
        self.logged.update({name: float(value) for name, value in numbers.items()})


# ----------------------------------------------------------------------------- what a plugin has to do


class Selector(Protocol):
    """Chooses examples. It may also have `needs(seed) -> Sequence[FeatureSpec]` and `identity()`, see docs/plugins.md."""

    def select(self, pool: Pool, budget: Budget, context: Context, /) -> Selection: ...


class Trainer(Protocol):
    """Fine-tunes a model, and says where the result is: a folder in the context's scratch."""

    def train(self, examples: Sequence[Example], model: ModelRef, context: Context, /) -> ModelRef: ...


class Suite(Protocol):
    """Scores a model. With `texts() -> {task: {item: text}}` its items are searched for in the pool (the leak check)."""

    def evaluate(self, model: ModelRef, context: Context, /) -> Sequence[Score]: ...


class PoolSource(Protocol):
    """Reads or makes a pool."""

    def load(self) -> LoadedPool: ...


# ------------------------------------------------------------------------------------------ decorators

S = TypeVar("S", bound=Selector)
R = TypeVar("R", bound=Trainer)
E = TypeVar("E", bound=Suite)
P = TypeVar("P", bound=PoolSource)


@dataclass_transform(field_specifiers=(field,))
def selector(
    name: str,
    *,
    stochastic: bool = False,
    nested: bool = True,
    targeted: bool = False,
    uses_scorer: bool = True,
    share: float | None = None,
    paper: str = "",
    fidelity: str = "",
) -> Callable[[type[S]], type[S]]:
    """Mark a class as a selector; its fields are its options, its docstring is its help text.

    Args:
        stochastic: the seed matters (if not, one ranking serves all seeds).
        nested: the selection for a smaller budget is a prefix of the one for a larger (one ranking serves all budgets).
        targeted: it asks for target examples.
        uses_scorer: it looks through the scorer (if not, one selection serves all scorers).
        share: it always takes this share of the pool, whatever the budget says (0: no fine-tuning).
        paper: where the method comes from.
        fidelity: official code matched / from the paper / re-implemented from the abstract.
    """
    facts = {
        "stochastic": stochastic,
        "nested": nested,
        "targeted": targeted,
        "uses_scorer": uses_scorer,
        "share": share,
        "takes_budget": property(declare.takes_budget),
        "selects_nothing": property(declare.selects_nothing),
        "paper": paper,
        "fidelity": fidelity,
    }
    return lambda cls: declare.declare(cls, "selector", name, facts)


@dataclass_transform(field_specifiers=(field,))
def trainer(name: str) -> Callable[[type[R]], type[R]]:
    """Mark a class as a trainer: `train(examples, model, context) -> ModelRef`."""
    return lambda cls: declare.declare(cls, "trainer", name, {})


@dataclass_transform(field_specifiers=(field,))
def suite(name: str) -> Callable[[type[E]], type[E]]:
    """Mark a class as a suite: `evaluate(model, context) -> list[Score]`."""
    return lambda cls: declare.declare(cls, "suite", name, {})


@dataclass_transform(field_specifiers=(field,))
def pool(name: str) -> Callable[[type[P]], type[P]]:
    """Mark a class as a pool: `load() -> LoadedPool`. The same class serves as a target."""
    return lambda cls: declare.declare(cls, "pool", name, {})
