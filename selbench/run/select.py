"""Selection as a stage: the selector's choice, checked and kept, and the facts about it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Example, ModelRef, Pool, Selection
from selbench.errors import NotApplicable, PluginError, UserError
from selbench.models import fingerprint
from selbench.run.features import feature_provider
from selbench.run.inputs import forget_pools, load_pool, load_target
from selbench.run.plugin_call import described, examples_kept, last_line, plugin_call, type_name
from selbench.run.reach import budgets_of_ranking
from selbench.run.stage import RunStage
from selbench.run.tokens import TokenCounts
from selbench.settings import Run
from selbench.store.cost import Cost, total
from selbench.store.facts import SelectionFacts
from selbench.store.files import read_json, scratch_in, write_json
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.records import SELECTION
from selbench.store.stages import Stage, Store

# The selection for the smallest budget on its own, which shows that a ranking is nested.
PREFIX = "prefix.json"


@dataclass(frozen=True)
class Selected:
    """What a selector chose, what that cost (its features included, also when they were cached), and its stages."""

    ids: tuple[str, ...] = ()
    scores: np.ndarray | None = None
    cost: Cost = field(default_factory=dict)
    logged: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)


def make_budget(selector: Any, pool: Pool, amount: int | float, unit: str, tokens: np.ndarray | None) -> Budget | None:
    """The budget for this selector; None for one that selects nothing (the arm `base`)."""
    if selector.selects_nothing:
        return None
    if not selector.takes_budget:
        amount, unit = float(selector.share), "examples"
    return Budget.of(pool, amount, unit, tokens=tokens)


def context_seed(selector: Any, seed: int) -> int:
    """The seed of the selector's context in a run with this seed; 0 for one that draws nothing at random."""
    return derive_seed(seed, "selection") if selector.stochastic else 0


def selection_of(run: Run, tokens: np.ndarray, store: Store) -> Selected:
    """What a run selects, cached; `tokens` are the N response tokens of its pool.

    Raises PluginError if the selector breaks its contract, UserError or NotApplicable as the selector does.
    """
    pool = load_pool(run.pool).pool
    budget = make_budget(run.selector, pool, run.budget, run.budget_unit, tokens)
    if budget is None:
        return Selected()
    stage = SelectionStage(run.selector, pool, budget, run.scorer, load_target(run), run.seed)
    return stage.result(store, shared=budgets_of_ranking(run, pool, tokens))


def selection_alone(run: Run, store: Store, purpose: str) -> tuple[np.ndarray, Selected]:
    """The N response tokens of a run's pool and the selection, for a verb that only selects.

    Raises UserError, naming the `purpose` ("export"), where nothing is selected or the selector does not apply.
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
    """One selection. `target` is what a targeted selector may look at, per capability."""

    selector: Any
    pool: Pool
    budget: Budget
    scorer: ModelRef
    target: Mapping[str, Pool]
    seed: int
    kind: ClassVar[str] = "selection"

    @property
    def identity(self) -> dict[str, Any]:
        """The seed only where the selector is stochastic, and so on.

        The budget's size is not part of a nested selector's: a ranking serves all sizes.
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

        A nested selector ranks once for all budgets: as far as the largest of `shared` (the budgets that will be asked
        for, smallest first), of which this budget takes the beginning. Raises PluginError if the selector breaks its
        contract, UserError or NotApplicable as the selector does.
        """
        nested = self.selector.nested
        whole = shared[-1] if shared and nested and shared[-1].limit > self.budget.limit else self.budget
        used: list[Stage] = []

        def compute(folder: Path) -> Mapping[str, float]:
            kept = store.checkpoint(self.kind, self.identity, whole.limit if nested else None)
            selection, logged = self._select(whole, store, folder, kept, used)
            _write(folder, selection, used)
            return logged

        if not nested:
            return _first(_read(store.stage(self.kind, self.identity, compute)), self.pool, self.budget)
        stage = store.ranking(self.kind, self.identity, compute, least=self.budget.limit, reach=whole.limit)
        ranked = _read(stage)
        if _length(stage) > self.budget.limit:
            smallest = min([*shared, self.budget], key=lambda budget: budget.limit)
            self._require_nested(store, stage, ranked, smallest)
        return _first(ranked, self.pool, self.budget)

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
                feature_store=feature_provider(store, used),
                selector=self.selector,
            )
            with examples_kept(self.selector, "select", given, forget_pools), plugin_call(self.selector, "select"):
                selection = self.selector.select(self.pool, dataclasses.replace(budget), context)
        check_selection(selection, self.selector, self.pool, budget)
        return selection, context.logged

    def _require_nested(self, store: Store, ranking: Stage, ranked: Selected, smallest: Budget) -> None:
        """Select for the smallest budget on its own, once, and compare: that a selector is nested is not taken on trust.

        Raises PluginError if the ranking does not begin with that selection.
        """
        identity = {**self.identity, "ranking": ranking.key, "smallest": smallest.limit}
        expected = _first(ranked, self.pool, smallest).ids

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
    """Raises PluginError unless the ids are distinct, from the pool, and exactly what the budget allows."""
    who = f"selector '{selector.plugin_name}'"
    if not isinstance(selection, Selection):
        raise PluginError(f"{who} returned {type_name(selection)}, not a Selection.")
    ids = selection.ids
    if not isinstance(ids, Sequence) or isinstance(ids, str):
        raise PluginError(f"{who} returned a Selection whose ids are {type_name(ids)}, not a tuple of ids.")
    if not isinstance(selection.diagnostics, Mapping):
        raise PluginError(f"{who} returned {type_name(selection.diagnostics)} for its diagnostics, not a mapping.")
    if foreign := sorted({str(id) for id in ids} - set(pool.ids)):
        raise PluginError(f"{who} returned {len(foreign)} ids that are not in pool '{pool.name}', e.g. '{foreign[0]}'.")
    if len(set(ids)) != len(ids):
        raise PluginError(f"{who} returned {len(ids) - len(set(ids))} duplicate ids among {len(ids)}.")
    spent = int(budget.costs[[pool.position(id) for id in ids]].sum())
    # In tokens the next example may not fit: less than the dearest one may be left over.
    least = budget.limit if budget.unit == "examples" else budget.limit - int(budget.costs.max()) + 1
    if spent > budget.limit:
        raise PluginError(f"{who} selected too much: {spent} {budget.unit} where the budget is {budget.limit}.")
    if spent < least:
        raise PluginError(f"{who} selected too little: {spent} {budget.unit} where the budget is {budget.limit}.")
    if selection.scores is not None and len(selection.scores) != len(ids):
        raise PluginError(f"{who} returned {len(selection.scores)} scores for {len(ids)} ids.")
    if selection.scores is not None:
        try:
            np.asarray(selection.scores, np.float64)
        except (TypeError, ValueError):
            raise PluginError(f"{who} returned scores that are no numbers.") from None


def facts(chosen: Sequence[Example], tokens: np.ndarray, labels: Mapping[str, Mapping[str, Any]]) -> SelectionFacts:
    """What a reader wants to know of a selection; `tokens` are those of the chosen examples.

    Its composition is the count of each value of source and category (where examples have them), of response length,
    and for a pool with hidden labels of each label.
    """
    hashes = {example.content_hash for example in chosen}
    rows = [labels[example.id] for example in chosen if example.id in labels]
    values = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    for name in ("source", "category"):
        found = [getattr(example, name) for example in chosen]
        if any(found):
            values.setdefault(name, found)
    composition = {name: _counts(column) for name, column in values.items()}
    if chosen:
        composition["response tokens"] = _lengths(tokens)
    return SelectionFacts(
        examples=len(chosen),
        response_tokens=int(tokens.sum()),
        exact_duplicates=len(chosen) - len(hashes),
        mean_prompt_chars=float(np.mean([len(e.prompt) for e in chosen])) if chosen else 0.0,
        mean_response_chars=float(np.mean([len(e.response) for e in chosen])) if chosen else 0.0,
        composition=composition,
    )


def _lengths(tokens: np.ndarray) -> dict[str, int]:
    """How many responses have so many tokens, in steps of a factor of four."""
    edges = [0, 16, 64, 256, 1024, sys.maxsize]
    names = ["below 16", "16 to 63", "64 to 255", "256 to 1,023", "1,024 and more"]
    return dict(zip(names, np.histogram(tokens, edges)[0].tolist()))


def _counts(values: Sequence[Any]) -> dict[str, int]:
    if len(set(values)) > 100:  # a group label: how many values are set says more than each of them
        return {"set": sum(bool(value) for value in values), "unset": sum(not value for value in values)}
    return {str(value): values.count(value) for value in sorted(set(values), key=str)}


def _write(folder: Path, selection: Selection, used: list[Stage]) -> None:
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, Any] = {}
    for name, value in selection.diagnostics.items():
        (arrays if isinstance(value, np.ndarray) else numbers)[name] = value
    if arrays:
        np.savez_compressed(folder / "diagnostics.npz", **arrays)  # type: ignore[arg-type]
    write_json(
        folder / SELECTION,
        {
            "ids": selection.ids,
            "scores": None if selection.scores is None else np.asarray(selection.scores, np.float64),
            "diagnostics": numbers,
            "features": [{"kind": stage.kind, "key": stage.key, "cost": stage.cost} for stage in used],
        },
    )


def _read(stage: Stage) -> Selected:
    data = read_json(stage.path / SELECTION)
    if data is None:
        raise UserError(f"the selection at {stage.path} cannot be read. Delete that folder and run again.")
    rows = data["features"]
    return Selected(
        ids=tuple(data["ids"]),
        scores=None if data["scores"] is None else np.asarray(data["scores"]),
        cost=total([stage.cost, *({row["key"]: row["cost"] for row in rows}.values())]),
        logged=stage.logged,
        stages={"selection": stage.key, **{f"{row['kind']}/{i}": row["key"] for i, row in enumerate(rows)}},
    )


def _first(ranked: Selected, pool: Pool, budget: Budget) -> Selected:
    """As much of a ranking as the budget allows."""
    count = len(budget.take(pool.position(id) for id in ranked.ids))
    scores = None if ranked.scores is None else ranked.scores[:count]
    return dataclasses.replace(ranked, ids=ranked.ids[:count], scores=scores)
