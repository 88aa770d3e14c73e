"""Selection as a stage: the selector's choice is checked against its contract, stored, and described by facts."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Example, ModelRef, Pool, Selection
from selbench.data.repeats import exact_repeats, expected_exact_repeats
from selbench.errors import NotApplicable, PluginError, UserError
from selbench.models import fingerprint
from selbench.run.features import feature_provider
from selbench.run.inputs import forget_pools, load_target, pool_of
from selbench.run.plugin_call import described, examples_kept, last_line, plugin_call, type_name
from selbench.run.reach import budgets_of_ranking
from selbench.run.stage import RunStage
from selbench.run.tokens import TokenCounts
from selbench.settings import Run
from selbench.store.cost import Cost, total_cost
from selbench.store.facts import SelectionFacts
from selbench.store.files import read_json, scratch_in, write_json
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.records import SELECTION
from selbench.store.stages import Stage, Store

# The selection for the smallest budget on its own, which shows that a ranking is nested.
PREFIX = "prefix.json"
DIAGNOSTICS = "diagnostics.npz"  # the arrays among a selector's diagnostics


@dataclass(frozen=True)
class Selected:
    """What a selector chose, and what that cost."""

    ids: tuple[str, ...] = ()  # best first
    scores: np.ndarray | None = None  # the selector's score of each id, if it gives any
    margins: np.ndarray | None = None  # by how much each id is ahead of the next, also of one left out, if it says so
    asked: int | None = None  # the budget, in its unit, where the selector stopped short of it
    cost: Cost = field(default_factory=dict)  # of its features too, also when they came from the store
    logged: Mapping[str, float] = field(default_factory=dict)  # the numbers that the selector logged
    stages: Mapping[str, str] = field(default_factory=dict)  # of the selection and its features: label -> key

    @property
    def margin(self) -> float | None:
        """How near the last pick was to the next; None if that is not known, or there is no next."""
        last = float(self.margins[-1]) if self.margins is not None and len(self.margins) else np.nan
        return last if np.isfinite(last) else None


def make_budget(selector: Any, pool: Pool, amount: int | float, unit: str, tokens: np.ndarray | None) -> Budget | None:
    """The budget for this selector; None for one that selects nothing (the arm `base`).

    `tokens` (N response tokens) are needed for the unit "tokens". Raises UserError if the budget does not fit the pool.
    """
    if selector.selects_nothing:
        return None
    if not selector.takes_budget:
        amount, unit = float(selector.share), "examples"
    return Budget.of(pool, amount, unit, tokens=tokens)


def context_seed(selector: Any, seed: int) -> int:
    """The seed of the selector's context in a run with this seed; 0 for a selector that is not stochastic."""
    return derive_seed(seed, "selection") if selector.stochastic else 0


def selection_of(run: Run, tokens: np.ndarray, store: Store) -> Selected:
    """What a run selects, from the store if it is there; `tokens` are the N response tokens of its pool.

    Raises PluginError if the selector breaks its contract, and the selector's own UserError or NotApplicable.
    """
    pool = pool_of(run).pool
    budget = make_budget(run.selector, pool, run.budget, run.budget_unit, tokens)
    if budget is None:
        return Selected()
    stage = SelectionStage(
        run.selector, pool, budget, run.scorer, load_target(run), run.seed, feature_shards=run.feature_shards
    )
    return stage.result(store, shared=budgets_of_ranking(run, pool, tokens))


def selection_alone(run: Run, store: Store, purpose: str) -> tuple[np.ndarray, Selected]:
    """The N response tokens of a run's pool and its selection, for commands that only select.

    Raises UserError if the selector does not apply, or selects nothing; the message names the `purpose` ("export").
    """
    who = f"selector '{run.selector.plugin_name}'"
    tokens = TokenCounts.of(run).result(store)
    if run.selector.selects_nothing:
        raise UserError(f"{who} selects nothing: there is nothing to {purpose}.")
    try:
        selected = selection_of(run, tokens, store)
    except NotApplicable as reason:
        raise UserError(f"{who} does not apply here: {reason}") from reason
    except UserError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginError(f"{who} failed: {described(error)} ({last_line(error)}).") from error
    if not selected.ids:
        raise UserError(f"{who} has chosen nothing: there is nothing to {purpose}.")
    return tokens, selected


@dataclass(frozen=True, eq=False)
class SelectionStage(RunStage):
    """One selection from one pool."""

    selector: Any
    pool: Pool
    budget: Budget
    scorer: ModelRef
    target: Mapping[str, Pool]  # capability -> the examples that a targeted selector may look at
    seed: int  # of the run
    feature_shards: int = 1  # into how many its features are cut, which changes nothing in them
    kind: ClassVar[str] = "selection"

    @property
    def identity(self) -> dict[str, Any]:
        """What the selection depends on, by the selector's facts: the seed only for a stochastic one, and so on.

        For a nested selector the budget's size is left out: one ranking serves all sizes.
        """
        selector, budget = self.selector, self.budget
        costs = None if budget.unit == "examples" else digest(budget.costs.tolist())
        target = {name: examples.fingerprint for name, examples in self.target.items()}
        return {
            "selector": plugin_identity(selector),
            "pool": self.pool.fingerprint,
            "budget": [budget.unit, None if selector.nested else budget.limit, costs],
            "scorer": fingerprint(self.scorer) if selector.uses_scorer else None,
            "target": target if selector.targeted else None,
            "seed": self.seed if selector.stochastic else None,
        }

    def result(self, store: Store, shared: Sequence[Budget] = ()) -> Selected:
        """The selection, computed if it is not in the store.

        A nested selector ranks once for all budgets: it ranks as far as the largest of `shared`, the budgets that will be
        asked for, smallest first, and this budget takes the beginning of that ranking. Raises PluginError if the
        selector breaks its contract, and the selector's own UserError or NotApplicable.
        """
        nested = self.selector.nested
        whole = shared[-1] if shared and nested and shared[-1].limit > self.budget.limit else self.budget
        used: list[Stage] = []

        def compute(folder: Path) -> Mapping[str, float]:
            kept = store.checkpoint(self.kind, self.identity, whole.limit if nested else None)
            selection, logged = self._select(whole, store, folder, kept, used)
            _write_selection(folder, selection, used)
            return logged

        if not nested:
            return _prefix_within(
                _read_selection(store.stage(self.kind, self.identity, compute)), self.pool, self.budget
            )
        stage = store.ranking(self.kind, self.identity, compute, least=self.budget.limit, reach=whole.limit)
        ranked = _read_selection(stage)
        if _length(stage) > self.budget.limit:
            smallest = min([*shared, self.budget], key=lambda budget: budget.limit)
            self._require_nested(store, stage, ranked, smallest)
        return _prefix_within(ranked, self.pool, self.budget)

    def _select(
        self, budget: Budget, store: Store, folder: Path, kept: Path, used: list[Stage]
    ) -> tuple[Selection, Mapping[str, float]]:
        """What the selector chooses for a budget, checked, and what it logged.

        `kept` is its checkpoint; the features it asks for go to `used`.
        """
        given = [self.pool, *self.target.values()]
        with scratch_in(folder) as scratch:
            context = Context(
                self.pool,
                seed=context_seed(self.selector, self.seed),
                scorer=dataclasses.replace(self.scorer),
                target=dict(self.target),
                scratch=scratch,
                checkpoint=kept,
                feature_store=feature_provider(store, used, self.feature_shards),
                selection_store=partial(self._of_other, store, used),
                selector=self.selector,
            )
            with examples_kept(self.selector, "select", given, forget_pools), plugin_call(self.selector, "select"):
                selection = self.selector.select(self.pool, dataclasses.replace(budget), context)
        check_selection(selection, self.selector, self.pool, budget)
        return selection, context.logged

    def _of_other(self, store: Store, used: list[Stage], other: Any, budget: Budget) -> Selection:
        """What another selector chooses here: the stage that its own run has. It goes to `used`, with all its cost."""
        stage = dataclasses.replace(self, selector=other, budget=budget)
        found = stage.result(store)
        key = found.stages["selection"]
        used.append(Stage(self.kind, key, store.root / self.kind / key, found.cost, found.logged, True))
        return Selection(found.ids, found.scores)

    def _require_nested(self, store: Store, ranking: Stage, ranked: Selected, smallest: Budget) -> None:
        """Select for the smallest budget on its own, once, and compare: that a selector is nested is not taken on trust.

        Raises PluginError if the ranking does not begin with that selection.
        """
        identity = {**self.identity, "ranking": ranking.key, "smallest": smallest.limit}
        expected = _prefix_within(ranked, self.pool, smallest).ids

        def compute(folder: Path) -> None:
            kept = store.checkpoint("prefix", identity)
            alone = tuple(self._select(smallest, store, folder, kept, [])[0].ids)
            if alone != expected:
                common = len(set(alone) & set(expected))
                raise PluginError(
                    f"selector '{self.selector.plugin_name}' is declared nested, but its selection for {smallest.limit} "
                    f"{smallest.unit} is not the beginning of that for {_length(ranking)}: {common} of {len(alone)} "
                    f"examples in common{'' if common < len(alone) else ', in another order'}. Without nested=True each "
                    "budget is selected by itself."
                )
            write_json(folder / PREFIX, {"ids": alone})

        store.stage("prefix", identity, compute)


def _length(ranking: Stage) -> int:
    """How far a ranking goes, in the unit of its budget."""
    return int(ranking.key.rpartition("-")[2])


def check_selection(selection: Selection, selector: Any, pool: Pool, budget: Budget) -> None:
    """Raises PluginError unless the ids are distinct, from the pool, and as many as the budget allows.

    A selector that may stop short may have fewer; without any it does not apply, and NotApplicable is raised.
    """
    who = f"selector '{selector.plugin_name}'"
    if not isinstance(selection, Selection):
        raise PluginError(f"{who} returned {type_name(selection)}, not a Selection.")
    ids = selection.ids
    if not isinstance(ids, Sequence | np.ndarray) or isinstance(ids, str):
        raise PluginError(f"{who} returned a Selection whose ids are {type_name(ids)}, not a tuple of ids.")
    if not isinstance(selection.diagnostics, Mapping):
        raise PluginError(f"{who} returned {type_name(selection.diagnostics)} for its diagnostics, not a mapping.")
    if foreign := sorted({str(id) for id in ids} - set(pool.ids)):
        raise PluginError(f"{who} returned {len(foreign)} ids that are not in pool '{pool.name}', e.g. '{foreign[0]}'.")
    if len(set(ids)) != len(ids):
        raise PluginError(f"{who} returned {len(ids) - len(set(ids))} duplicate ids among {len(ids)}.")
    spent = _spent(ids, pool, budget)
    if spent > budget.limit:
        raise PluginError(f"{who} selected too much: {spent} {budget.unit} where the budget is {budget.limit}.")
    if selector.may_stop_short and len(ids) == 0:
        raise NotApplicable(f"{who} finds nothing to select in pool '{pool.name}'.")
    if spent < _least(budget) and not selector.may_stop_short:
        raise PluginError(
            f"{who} selected too little: {spent} {budget.unit} where the budget is {budget.limit}. A method that may have fewer "
            "says so: may_stop_short=True in its @selector."
        )
    if selection.scores is not None and len(selection.scores) != len(ids):
        raise PluginError(f"{who} returned {len(selection.scores)} scores for {len(ids)} ids.")
    if selection.scores is not None:
        try:
            np.asarray(selection.scores, np.float64)
        except (TypeError, ValueError):
            raise PluginError(f"{who} returned scores that are no numbers.") from None


def _spent(ids: Sequence[str], pool: Pool, budget: Budget) -> int:
    return int(budget.costs[[pool.position(id) for id in ids]].sum())


def _least(budget: Budget) -> int:
    """What a selection that fills the budget spends at least.

    In tokens the next example may not fit, so that something is left over: always less than the costliest example.
    """
    return budget.limit if budget.unit == "examples" else budget.limit - int(budget.costs.max()) + 1


def selection_facts(
    chosen: Sequence[Example], pool: Pool, tokens: np.ndarray, labels: Mapping[str, Mapping[str, Any]]
) -> SelectionFacts:
    """The facts of a selection from a pool, for its record; `tokens` are the response tokens of the chosen examples.

    The composition counts the values of source and category (where examples have them), of response length, and of
    each hidden label of the pool.
    """
    rows = [labels[example.id] for example in chosen if example.id in labels]
    values = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    for name in ("source", "category"):
        found = [getattr(example, name) for example in chosen]
        if any(found):
            values.setdefault(name, found)
    composition = {name: _value_counts(column) for name, column in values.items()}
    if chosen:
        composition["response tokens"] = _length_counts(tokens)
    return SelectionFacts(
        examples=len(chosen),
        response_tokens=int(tokens.sum()),
        exact_duplicates=exact_repeats(chosen),
        exact_duplicates_by_chance=expected_exact_repeats(pool, len(chosen)),
        mean_prompt_chars=float(np.mean([len(e.prompt) for e in chosen])) if chosen else 0.0,
        mean_response_chars=float(np.mean([len(e.response) for e in chosen])) if chosen else 0.0,
        composition=composition,
    )


def _length_counts(tokens: np.ndarray) -> dict[str, int]:
    """The number of responses in each range of length in tokens; the ranges grow by a factor of four."""
    edges = [0, 16, 64, 256, 1024, sys.maxsize]
    names = ["below 16", "16 to 63", "64 to 255", "256 to 1,023", "1,024 and more"]
    return dict(zip(names, np.histogram(tokens, edges)[0].tolist()))


def _value_counts(values: Sequence[Any]) -> dict[str, int]:
    """How often each value occurs; of more than 100 distinct values only whether they are set."""
    if (
        len(set(values)) > 100
    ):  # a label of small groups, such as near-duplicates: a list of them tells a reader nothing
        return {"set": sum(bool(value) for value in values), "unset": sum(not value for value in values)}
    return {str(value): values.count(value) for value in sorted(set(values), key=str)}


def _write_selection(folder: Path, selection: Selection, used: list[Stage]) -> None:
    """selection.json with the ids, scores and the feature stages that were used; arrays of diagnostics beside it."""
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, Any] = {}
    for name, value in selection.diagnostics.items():
        (arrays if isinstance(value, np.ndarray) else numbers)[name] = value
    if arrays:
        np.savez_compressed(folder / DIAGNOSTICS, **arrays)  # type: ignore[arg-type]
    write_json(
        folder / SELECTION,
        {
            "ids": selection.ids,
            "scores": None if selection.scores is None else np.asarray(selection.scores, np.float64),
            "diagnostics": numbers,
            "features": [{"kind": stage.kind, "key": stage.key, "cost": stage.cost} for stage in used],
        },
    )


def _read_selection(stage: Stage) -> Selected:
    """What `_write_selection` wrote. Raises UserError if it cannot be read."""
    data = read_json(stage.path / SELECTION)
    if data is None:
        raise UserError(f"the selection at {stage.path} cannot be read. Delete that folder and run again.")
    rows = data["features"]
    # A feature that was asked for twice is one stage: its cost counts once.
    costs = {row["key"]: row["cost"] for row in rows}
    return Selected(
        ids=tuple(data["ids"]),
        scores=None if data["scores"] is None else np.asarray(data["scores"]),
        margins=_read_margins(stage, len(data["ids"])),
        cost=total_cost([stage.cost, *costs.values()]),
        logged=stage.logged,
        stages={"selection": stage.key, **{f"{row['kind']}/{i}": row["key"] for i, row in enumerate(rows)}},
    )


def _prefix_within(ranked: Selected, pool: Pool, budget: Budget) -> Selected:
    """The longest beginning of a ranking that the budget allows."""
    count = len(budget.take(pool.position(id) for id in ranked.ids))
    scores = None if ranked.scores is None else ranked.scores[:count]
    margins = None if ranked.margins is None else ranked.margins[:count]
    asked = budget.limit if _spent(ranked.ids[:count], pool, budget) < _least(budget) else None
    return dataclasses.replace(ranked, ids=ranked.ids[:count], scores=scores, margins=margins, asked=asked)


def _read_margins(stage: Stage, count: int) -> np.ndarray | None:
    """The selector's diagnostic `margin`, if it recorded one number for each of its picks."""
    if not (stage.path / DIAGNOSTICS).is_file():
        return None
    with np.load(stage.path / DIAGNOSTICS) as arrays:
        found: np.ndarray | None = arrays.get("margin")
    fits = found is not None and found.shape == (count,) and found.dtype.kind in "fiu"
    return found if fits else None
