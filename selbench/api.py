"""What a plugin author imports. Importing it is cheap: torch and other large libraries are not loaded.

The vocabulary: a `Pool` of `Example`s (a `LoadedPool` also has its hidden labels), the `Budget` for a `Selection` from it,
the `Chosen` examples of it, a `ModelRef` that says where a model is, a `Score` of a model or selection, and the `Context`
that a plugin is given.

The decorators `@selector`, `@trainer`, `@suite` and `@pool` make a class a plugin: a dataclass whose fields are its
options. The protocols `Selector`, `Trainer`, `Suite` and `PoolSource` say what its one method takes and returns; a type
checker holds the class to them. The facts that `@selector` takes say what a selection depends on. A selector may have
`needs(seed) -> Sequence[FeatureSpec]`, the features that it will ask its context for, so that a plan knows their cost.

A feature is specified by a frozen dataclass with `needs_scorer` and `compute`, as `FeatureSpec` says; `compute` returns a
`Feature`, arrays by name.
Those that come with selbench are in `selbench.features`, the optimisers in `selbench.optimize`: docs/plugins.md lists
them and shows how to write one.

Errors to raise: `UserError` for a mistake that the user can mend, `NotAtHand` for one of them: something of the hub that
cannot be fetched, without which a plan is still made, `NotApplicable` for a method that does not apply to this run,
`PluginError` for a plugin that breaks its contract.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, overload

import numpy as np
from typing_extensions import dataclass_transform

from selbench import declare
from selbench.declare import name_and_options
from selbench.errors import NotApplicable, NotAtHand, PluginError, UndeclaredError, UserError, unknown
from selbench.held import Part, held_parts, held_selectors
from selbench.stated import StatedShape

__all__ = [
    "Budget",
    "Chosen",
    "Context",
    "Example",
    "Feature",
    "FeatureSpec",
    "LoadedPool",
    "ModelRef",
    "NotApplicable",
    "NotAtHand",
    "Part",
    "PluginError",
    "Pool",
    "PoolSource",
    "Score",
    "Selection",
    "SelectionSuite",
    "Selector",
    "ShardedFeatureSpec",
    "Suite",
    "Trainer",
    "UserError",
    "held_parts",
    "name_and_options",
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
        """A SHA-256 of all turns and the system prompt, without id and metadata: equal for exact duplicates."""
        said = [self.system, self.history, self.instruction, self.input, self.response]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


class Pool(Sequence[Example]):
    """An ordered collection of examples with distinct ids.

    Raises:
        UserError: the pool is empty or an id occurs twice.
    """

    whole: Pool | None = None  # the pool that this one is a part of, for a selector that is given such a part
    examples_known: ClassVar[bool] = True  # False for the stand-in of a pool that is not at hand

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
        """The position of the example with this id, from 0. Raises KeyError for an id that is not in the pool."""
        return self._positions[id]

    def part(self, positions: Iterable[int]) -> Pool:
        """The pool of the examples at these positions, in their order. Raises UserError if there are none."""
        found = Pool((self.examples[position] for position in positions), self.name)
        found.whole = self.whole or self
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 of all examples in order, with ids and metadata; part of the key of every stage over this pool."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(json.dumps(dataclasses.astuple(example), ensure_ascii=False).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class LoadedPool:
    """A pool with its hidden labels."""

    pool: Pool
    # Id -> label -> value; empty for a pool without hidden labels. For reports only: no selector sees them.
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# ---------------------------------------------------------------------------------- budget, selection


@dataclass(frozen=True, eq=False)
class Budget:
    """How much of one pool may be selected.

    Examples are taken in order until the next one no longer fits. By that rule the selection for a smaller budget is the
    beginning of the one for a larger budget.
    """

    ids: tuple[str, ...]  # of the pool, in order
    costs: np.ndarray  # N integers, the cost of each example: 1, or its response tokens
    limit: int  # the sum of costs that may be spent
    unit: str = "examples"  # or "tokens"

    def __post_init__(self) -> None:
        # A copy: what is counted with must not change in a selector's hands. One number for all examples is read-only, and
        # takes no space, of which a grid over millions of examples would need much.
        if not self._one_cost:
            object.__setattr__(self, "costs", _read_only(np.array(self.costs)))

    @property
    def _one_cost(self) -> bool:
        """Whether all examples share one number in memory, their cost."""
        return bool(len(self.costs)) and self.costs.strides == (0,) and not self.costs.flags.writeable

    @classmethod
    def of(
        cls, pool: Pool, amount: float, unit: str = "examples", tokens: Sequence[int] | np.ndarray | None = None
    ) -> Budget:
        """The budget of one pool: a float `amount` is a share (0 < share <= 1, rounded down), an int a number of `unit`s.

        `tokens` (N response-token counts) are needed for the unit "tokens". Raises UserError for an unknown unit, and
        for an amount that allows less than 1 or more than the pool has.
        """
        if unit not in ("examples", "tokens"):
            raise UserError(unknown("budget_unit", unit, ("examples", "tokens")))
        if unit == "tokens" and tokens is None:
            raise UserError("budget_unit=tokens needs the response-token counts of the pool.")
        costs = np.broadcast_to(np.int64(1), len(pool)) if unit == "examples" else np.asarray(tokens, np.int64)
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
        """The largest number of examples that could fit, and so the length that a ranking needs."""
        if self._one_cost:
            return min(len(self.ids), self.limit // int(self.costs[0]))
        return int(np.searchsorted(np.cumsum(np.sort(self.costs)), self.limit, side="right"))

    def of_part(self, positions: Sequence[int] | np.ndarray, limit: int) -> Budget:
        """The budget of the part of the pool with the examples at these positions, in their order; `limit` is its own.

        It is cut to what the part has.
        """
        costs = np.broadcast_to(self.costs[:1], len(positions)) if self._one_cost else self.costs[np.asarray(positions)]
        ids = tuple(self.ids[position] for position in positions)
        return Budget(ids, costs, min(limit, int(costs.sum())), self.unit)

    def take(self, order: Iterable[int]) -> np.ndarray:
        """The longest prefix of `order` (positions in the pool, best first) that fits, as an array of positions."""
        positions = np.asarray(order if isinstance(order, np.ndarray) else list(order), np.int64)
        if self._one_cost:
            return positions[: self.limit // int(self.costs[0])]
        return positions[: int(np.searchsorted(np.cumsum(self.costs[positions]), self.limit, side="right"))]


@dataclass(frozen=True, eq=False)
class Selection:
    """What a selector has chosen."""

    ids: tuple[str, ...]  # best first
    scores: np.ndarray | None = None  # one per id, in the order of `ids`
    diagnostics: Mapping[str, Any] = field(default_factory=dict)  # arrays and numbers that explain the choice

    @classmethod
    def ranked(cls, scores: Sequence[float] | np.ndarray, budget: Budget, **diagnostics: Any) -> Selection:
        """The examples with the highest scores (N scores, one per example of the pool), as many as the budget allows.

        Ties go to the lower position; NaN ranks last. The diagnostic `margin` has for each pick by how much its score is
        above that of the next one, also of the best that is left out. Raises PluginError if there are not N scores.
        """
        values = np.asarray(scores, np.float64)
        if values.shape != (len(budget.ids),):
            raise PluginError(f"expected {len(budget.ids)} scores, one per example, but got shape {values.shape}.")
        order = np.argsort(-values, kind="stable")
        found = cls.ordered(order, budget, scores=values, **diagnostics)
        ranked = np.append(values[order], np.nan)
        with np.errstate(invalid="ignore"):  # of two infinite scores
            margin = (ranked[:-1] - ranked[1:])[: len(found.ids)]
        return dataclasses.replace(found, diagnostics={"margin": margin, **found.diagnostics})

    @classmethod
    def ordered(
        cls, order: Iterable[int], budget: Budget, scores: np.ndarray | None = None, **diagnostics: Any
    ) -> Selection:
        """The first examples of `order` (positions in the pool, best first), as many as the budget allows.

        `scores`, if given, has one value per example of the pool.
        """
        taken = budget.take(order)
        return cls(
            ids=tuple(budget.ids[position] for position in taken),
            scores=None if scores is None else np.asarray(scores)[taken],
            diagnostics=diagnostics,
        )


@dataclass(frozen=True, eq=False)
class Chosen:
    """A selection as a suite sees it that scores selections: with the hidden labels of the pool, which no selector sees."""

    ids: tuple[str, ...]  # of the chosen examples, in the order of the pool
    pool: Pool
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # id -> label -> value, as in LoadedPool


# ------------------------------------------------------------------------------------ models, scores


@dataclass
class ModelRef:
    """Where a causal language model is, for transformers to load."""

    name: str = ""  # on leaderboards and in names of runs; the last part of `path` where none is given
    path: str = ""  # a folder, or a name on the Hugging Face hub
    revision: str | None = None  # of a hub model
    adapter: str | None = None  # a folder with a LoRA adapter for the model at `path`
    # How prompts are written: "chat" (the tokenizer's own template), "alpaca", "plain" (prompt and response without any words
    # around them), "auto" (chat if the tokenizer has a template, else alpaca), or a file with a chat template in Jinja.
    template: str = "auto"
    template_date: str = (
        "2024-07-26"  # the day, YYYY-MM-DD, that it is for a template that writes today's date (Llama 3.2's)
    )
    dtype: str = "auto"  # of the weights, as transformers names it
    max_length: int = 2048  # the training context in tokens; of a scorer, what it reads at most
    # A server that has the model, in OpenAI's protocol: it can be evaluated there under its `name`, and nothing else. `path`
    # is then that of its tokenizer, and `revision` whatever tells its versions apart.
    url: str | None = None  # as http://localhost:8000/v1, without a key
    chat: bool = False  # whether the server is asked for answers in a chat, and not for completions of a prompt
    # Where it is read, as a scorer or by a suite: null is one device; "auto", "balanced" and "sequential" spread its blocks over
    # the GPUs, main memory and disk, as accelerate does; a mapping from modules to devices says it block by block.
    device_map: Any = None
    # For plans where its config.json is not at hand; nothing that is computed depends on it.
    stated: StatedShape = field(default_factory=StatedShape)

    def __post_init__(self) -> None:
        if isinstance(self.stated, Mapping):  # as JSON has it
            self.stated = StatedShape(**self.stated)
        if self.path and not self.name and not self.url:  # a served model is asked for by its name
            where = Path(self.path).expanduser()
            self.name = where.name or where.resolve().name

    @property
    def hub_revision(self) -> str | None:
        """The revision of what is at `path`: that of a served model says nothing of its tokenizer on the hub."""
        return None if self.url else self.revision


@dataclass(frozen=True)
class Score:
    """One number that a suite gives a model on one task.

    A headline score with items is their mean, or with `weights` their weighted mean; that is checked.
    """

    task: str
    metric: str
    value: float
    higher_is_better: bool = True
    # The suite's headline is the mean of its headline scores. A score of one category, say, is no headline score.
    headline: bool = True
    items: Mapping[str, float] = field(default_factory=dict)  # test item -> value; comparisons are paired by item
    weights: Mapping[str, float] = field(default_factory=dict)  # test item -> weight in the mean; empty: all equal
    cut: int = 0  # items that were scored although some of their text did not fit into the model
    left_out: int = 0  # items that are not in the value


# --------------------------------------------------------------------------------------------- context


class FeatureSpec(Protocol):
    """A feature, computed over a pool and cached: a frozen dataclass whose fields are all that can change its values."""

    needs_scorer: ClassVar[bool]  # whether it is computed with the scorer, and so depends on it
    # One whose rows each depend on their example alone, to the bit, has an attribute `per_example` that is True: a selector
    # that sees a part of a pool gets the rows that were computed over the whole pool.

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Arrays by name, as a rule with N rows, one per example of the pool."""
        ...


class ShardedFeatureSpec(FeatureSpec, Protocol):
    """A feature that several workers can compute together (setting `feature_shards`), each some examples of the pool.

    An instance that cannot, such as one that is fitted on the whole pool, has an attribute `divisible` that is False.
    """

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        """The arrays of shard number `shard` (from 0) of `of`, and `examples`: the positions in the pool of its examples.

        The shards hold each example of the pool once. A shard may be empty: then `examples` is all that counts.
        """
        ...

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        """The feature, with the values that `compute` gives, from the shards that are not empty, in their order."""
        ...


class Context:
    """What a plugin is given besides its inputs: seeded randomness, features, progress bars, a scratch folder.

    A plugin draws randomness only from `rng` or `seed`, writes only under `scratch`, and reports numbers with `log`.
    In a notebook, outside a run, `Context(pool)` computes features directly and caches nothing.
    With `selector`, the selector that it is made for, it refuses what that selector has not declared to use.
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
        selection_store: Callable[[Any, Budget], Selection] | None = None,
        selector: Any = None,
    ) -> None:
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._selector = selector
        self.logged: dict[str, float] = {}
        self._pool = pool
        self._scorer = scorer
        self._target = target
        self._scratch = scratch
        self._checkpoint = checkpoint
        self._feature_store = feature_store
        self._selection_store = selection_store

    @property
    def seed(self) -> int:
        """The seed of all that is random here."""
        self._require_declared("stochastic", "context.seed", "seeds")
        return self._seed

    @property
    def rng(self) -> np.random.Generator:
        """The generator to draw from."""
        self._require_declared("stochastic", "context.rng", "seeds")
        return self._rng

    @property
    def scorer(self) -> ModelRef:
        """The model with which the selector looks at examples. Raises UserError if there is none."""
        self._require_declared("uses_scorer", "context.scorer", "scorers")
        if self._scorer is None:
            raise UserError("this method looks through a model: name one with scorer=... or model=...")
        return self._scorer

    @property
    def target(self) -> Mapping[str, Pool]:
        """Capability -> the examples that a targeted method may look at, never test items. Raises UserError without any."""
        self._require_declared("targeted", "context.target", "targets")
        if not self._target:
            raise UserError("this method needs target examples: name them with target=...")
        return self._target

    @property
    def scratch(self) -> Path:
        """The folder that this plugin may write to."""
        if self._scratch is None:
            import tempfile

            self._scratch = Path(tempfile.mkdtemp(prefix="selbench-"))
        return self._scratch

    @property
    def checkpoint(self) -> Path | None:
        """A folder that survives an interruption: long work finds there what it wrote before, and goes on from it.

        It is deleted once the work is done. None outside a run.
        """
        return self._checkpoint

    def features(self, spec: FeatureSpec, of: Pool | None = None) -> Feature:
        """The arrays of a feature, read-only, over the pool (or over `of`), computed once and cached.

        Raises UserError if the context has no pool and none is given.
        """
        pool = of or self._pool
        if pool is None:
            raise UserError("this context has no pool: pass one, Context(pool), or name it, features(spec, of=pool).")
        if spec.needs_scorer:
            what = f"the feature {type(spec).__name__}, which looks through the scorer"
            self._require_declared("uses_scorer", what, "scorers")
        found = self._feature_store(spec, pool, self) if self._feature_store else spec.compute(pool, self)
        return {name: _read_only(array) for name, array in found.items()}

    def selection_of(self, other: Selector, budget: Budget, within: Pool | None = None) -> Selection:
        """What another selector selects from the pool, with the same seed, scorer and target; in a run computed once.

        With `within`, a part of the pool (`pool.part(positions)`), it selects from that, each time anew: of features that are
        `per_example` it gets the rows of the whole pool's, others are computed over the part.

        `other` is a value of the asking selector's options, so that its own options and code are in the key. Raises
        PluginError if it is not, if the asking selector is not declared to use what the other one uses, and for a selection
        from a part that breaks the contract.
        """
        if self._pool is None:
            raise UserError("this context has no pool: pass one, Context(pool).")
        what = f"a selection of '{getattr(other, 'plugin_name', type(other).__name__)}'"
        for fact, shared_by in (("stochastic", "seeds"), ("uses_scorer", "scorers"), ("targeted", "targets")):
            if getattr(other, fact):
                self._require_declared(fact, f"{what}, which is {fact}", shared_by)
        if self._selector is not None and not any(held is other for held in held_selectors(self._selector)):
            raise PluginError(
                f"selector '{self._selector.plugin_name}' asks for {what}, which is no value of its options, and so not "
                "in the key."
            )
        if self._selection_store and within is None:
            return self._selection_store(other, budget)
        inner = Context(
            self._pool if within is None else within,
            seed=self._seed if getattr(other, "stochastic", False) else 0,
            scorer=self._scorer,
            target=self._target,
            scratch=self.scratch,
            feature_store=self._feature_store if within is None else partial(self._features_of_part, within),
            selector=other,
        )
        found = other.select(self._pool if within is None else within, budget, inner)
        if within is not None:
            _require_sound(found, other, budget)
            if "flops" in inner.logged:
                self.log(flops=self.logged.get("flops", 0.0) + inner.logged["flops"])
        return found

    def _features_of_part(self, part: Pool, spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        """A feature for a selector that sees a part of the pool: over that, or over another pool that it names."""
        if pool is part and declare.is_per_example(spec) and self._pool is not None:
            rows = [self._pool.position(id) for id in part.ids]
            return {name: array[rows] for name, array in self.features(spec).items()}
        return self._feature_store(spec, pool, context) if self._feature_store else spec.compute(pool, context)

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """`items`, with a progress bar if the messages go to a terminal."""
        from tqdm import tqdm

        return tqdm(items, desc=label, total=total, disable=None, leave=False)

    def log(self, **numbers: float) -> None:
        """Put numbers in the record: losses, steps, tokens, diagnostics.

        `flops`, an estimate of the work's floating-point operations, becomes part of its cost.
        """
        self.logged.update({name: float(value) for name, value in numbers.items()})

    def _require_declared(self, fact: str, what: str, shared_by: str) -> None:
        """Raises UndeclaredError if the selector, if there is one, does not say that it depends on what it asks for."""
        if self._selector is not None and not getattr(self._selector, fact):
            name = self._selector.plugin_name
            raise UndeclaredError(
                f"selector '{name}' asks for {what}, but it is not declared {fact}: one selection would serve all "
                f'{shared_by}. Declare it with @selector("{name}", {fact}=True), or where it depends on the options '
                f"with self.{fact} in __post_init__."
            )


def _require_sound(found: Selection, selector: Any, budget: Budget) -> None:
    """Raises PluginError for a selection from a part of a pool with foreign or repeated ids, or with too many or too few."""
    who, ids = f"selector '{selector.plugin_name}'", found.ids
    place = {id: position for position, id in enumerate(budget.ids)}
    if len(set(ids)) != len(ids) or not set(ids) <= place.keys():
        raise PluginError(f"{who} returned ids that are not in the part of the pool that it was given, or one twice.")
    spent = int(budget.costs[[place[id] for id in ids]].sum())
    slack = 0 if budget.unit == "examples" else int(budget.costs.max()) - 1
    if spent > budget.limit or (spent < budget.limit - slack and not selector.may_stop_short):
        raise PluginError(
            f"{who} selected {spent} {budget.unit} of a part of the pool where the budget is {budget.limit}."
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


# ----------------------------------------------------------------------------- what a plugin has to do


class Selector(Protocol):
    """Chooses examples. It may also have `needs(seed) -> Sequence[FeatureSpec]` and `identity()` (docs/plugins.md).

    Mistakes that show before any work are raised by `check()`, `check_examples(pool)` and `check_budget(budget)`, where it
    has them; `check_examples` may return sentences that warn. One that brings
    a model tuned elsewhere on what it selects has `trained_model(model) -> ModelRef | None`.
    """

    def select(self, pool: Pool, budget: Budget, context: Context, /) -> Selection: ...


class Trainer(Protocol):
    """Fine-tunes a model, and returns where the result is: in a folder of the context's scratch.

    It may also have `identity()`, and `check(model)`, which raises UserError for mistakes that show before any work.
    """

    def train(self, examples: Sequence[Example], model: ModelRef, context: Context, /) -> ModelRef: ...


class Suite(Protocol):
    """Scores a model. If it has `texts() -> {task: {item: text}}`, the leak check searches the pool for its items.

    One that can score a model behind an endpoint (`model.url`) has `check_endpoint(model)`, which raises UserError for what
    cannot be scored there.
    """

    def evaluate(self, model: ModelRef, context: Context, /) -> Sequence[Score]: ...


class SelectionSuite(Protocol):
    """Scores a selection, without any model. Where it needs labels that a pool may lack, `check_pool(pool: LoadedPool)`
    raises UserError before any work."""

    def evaluate(self, chosen: Chosen, context: Context, /) -> Sequence[Score]: ...


class PoolSource(Protocol):
    """Reads or makes a pool."""

    def load(self) -> LoadedPool: ...


# ------------------------------------------------------------------------------------------ decorators

S = TypeVar("S", bound=Selector)
R = TypeVar("R", bound=Trainer)
E = TypeVar("E", bound=Suite | SelectionSuite)
P = TypeVar("P", bound=PoolSource)


@dataclass_transform(field_specifiers=(field,))
def selector(
    name: str,
    *,
    stochastic: bool = False,
    nested: bool = False,
    targeted: bool = False,
    uses_scorer: bool = True,
    may_stop_short: bool = False,
    share: float | None = None,
    drawn_once: str | Sequence[str] = (),
    paper: str = "",
    fidelity: str = "",
) -> Callable[[type[S]], type[S]]:
    """Mark a class as a selector; its fields are its options, its docstring is its help text.

    Args:
        name: as in `selector=NAME`.
        stochastic: the selection depends on the seed (if not, one selection serves all seeds).
        nested: a smaller budget selects the beginning of what a larger one does (one ranking serves all budgets, and is
            checked with the smallest of them).
        targeted: the selector looks at target examples.
        uses_scorer: the selection depends on the scorer (if not, one selection serves all scorers).
        may_stop_short: the selection may have fewer examples than the budget allows, as that of a filter or of a published
            list (if not, a selection that does not fill the budget is an error). Boards show what was asked for and got.
        share: the share of the pool that the selector always takes, whatever the budget is (0: no fine-tuning).
        drawn_once: what was drawn at random once and is shared by all seeds ("autoencoder"), one name or several: boards
            say that its luck is not in the interval. Also a method of the pool and the targets (docs/plugins.md).
        paper: the paper that the method comes from.
        fidelity: how close the code is to it: official code matched, from the paper, re-implemented from the abstract.
    """
    facts = {
        "stochastic": stochastic,
        "nested": nested,
        "targeted": targeted,
        "uses_scorer": uses_scorer,
        "may_stop_short": may_stop_short,
        "share": share,
        "drawn_once": drawn_once,
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
def suite(name: str, *, scores_selections: bool = False) -> Callable[[type[E]], type[E]]:
    """Mark a class as a suite: `evaluate(model, context) -> list[Score]`.

    Args:
        name: as in `suite=NAME`.
        scores_selections: `evaluate` is given the Chosen examples in place of a model: a run whose suites all score
            selections trains none.
    """
    return lambda cls: declare.declare(cls, "suite", name, {"scores_selections": scores_selections})


@dataclass_transform(field_specifiers=(field,))
def pool(name: str) -> Callable[[type[P]], type[P]]:
    """Mark a class as a pool: `load() -> LoadedPool`. The same class serves as a target."""
    return lambda cls: declare.declare(cls, "pool", name, {})
