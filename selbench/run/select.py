"""Selection: features from the store, the selector's choice checked, and the facts about it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Budget, Context, Example, Feature, FeatureSpec, ModelRef, Pool, Selection
from selbench.errors import PluginError, UserError
from selbench.models import fingerprint, load_tokenizer
from selbench.store.cost import Cost, total
from selbench.store.files import load_arrays, read_json, save_arrays, write_json
from selbench.store.keys import derive_seed, digest, plugin_identity, spec_identity
from selbench.store.stages import Stage, Store

KIND = "selection"


@dataclass(frozen=True)
class Selected:
    """What a selector chose, what that cost (its features included, also when they were cached), and its stages."""

    ids: tuple[str, ...] = ()
    scores: np.ndarray | None = None
    cost: Cost = field(default_factory=dict)
    logged: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)


def response_tokens(pool: Pool, model: ModelRef, store: Store) -> np.ndarray:
    """N integers: the response tokens of each example under the model's tokenizer, cached."""
    from selbench.data.chat import count_response_tokens

    def compute(folder: Path) -> None:
        save_arrays(folder, {"tokens": count_response_tokens(pool, load_tokenizer(model))})

    stage = store.stage("tokens", tokens_identity(pool, model), compute)
    return load_arrays(stage.path)["tokens"]


def tokens_identity(pool: Pool, model: ModelRef) -> dict[str, Any]:
    """Everything that can change the counts."""
    return {"pool": pool.fingerprint, "model": fingerprint(model)}


def make_budget(selector: Any, pool: Pool, amount: int | float, unit: str, tokens: np.ndarray | None) -> Budget | None:
    """The budget for this selector; None for one that selects nothing (the arm `base`)."""
    if selector.selects_nothing:
        return None
    if not selector.takes_budget:
        amount, unit = float(selector.share), "examples"
    return Budget.of(pool, amount, unit, tokens=tokens)


def select(
    selector: Any,
    pool: Pool,
    budget: Budget | None,
    scorer: ModelRef,
    target: Mapping[str, Pool],
    seed: int,
    store: Store,
    reach: Budget | None = None,
) -> Selected:
    """The selection, cached. `target` is what a targeted selector may look at, per capability.

    A nested selector ranks once for all budgets: as far as `reach` (the largest budget that will be asked for), of
    which this budget takes the beginning. Raises PluginError if the selector breaks its contract, UserError or
    NotApplicable as the selector does.
    """
    if budget is None:
        return Selected()
    whole = reach if reach and selector.nested and reach.limit > budget.limit else budget
    identity = selection_identity(selector, pool, budget, scorer, target, seed)
    used: list[Stage] = []

    def compute(folder: Path) -> Mapping[str, float]:
        context = Context(
            pool,
            seed=seed_of(selector, seed),
            scorer=scorer,
            target=target,
            scratch=folder,
            feature_store=feature_store(store, used),
        )
        selection = selector.select(pool, whole, context)
        check(selection, selector, pool, whole)
        _write(folder, selection, used)
        return context.logged

    if selector.nested:
        stage = store.ranking(KIND, identity, compute, least=budget.limit, reach=whole.limit)
    else:
        stage = store.stage(KIND, identity, compute)
    return _first(_read(stage), pool, budget)


def seed_of(selector: Any, seed: int) -> int:
    """The seed of the selector's context in a run with this seed; 0 for one that draws nothing at random."""
    return derive_seed(seed, "selection") if selector.stochastic else 0


def selection_identity(
    selector: Any, pool: Pool, budget: Budget, scorer: ModelRef, target: Mapping[str, Pool], seed: int
) -> dict[str, Any]:
    """Everything that can change a selection; the seed only where the selector is stochastic, and so on.

    The budget's size is not part of a nested selector's: a ranking serves all sizes.
    """
    costs = None if budget.unit == "examples" else digest(budget.costs.tolist())
    return {
        "selector": plugin_identity(selector),
        "pool": pool.fingerprint,
        "budget": [budget.unit, None if selector.nested else budget.limit, costs],
        "scorer": fingerprint(scorer) if selector.uses_scorer else None,
        "target": {name: examples.fingerprint for name, examples in target.items()} if selector.targeted else None,
        "seed": seed if selector.stochastic else None,
    }


def feature_store(store: Store, used: list[Stage]) -> Callable[[FeatureSpec, Pool, Context], Feature]:
    """A provider of cached features that notes which stages it handed out."""

    def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        scorer = context.scorer if spec.needs_scorer else None
        identity = feature_identity(spec, pool, scorer)
        kind = getattr(spec, "stage_kind", "features")

        def compute(folder: Path) -> Mapping[str, float]:
            kept = store.checkpoint(kind, identity)
            # Features may build on features.
            inner = Context(pool, scorer=scorer, scratch=folder, checkpoint=kept, feature_store=provide)
            save_arrays(folder, spec.compute(pool, inner))
            return inner.logged

        stage = store.stage(kind, identity, compute)
        used.append(stage)
        return load_arrays(stage.path)

    return provide


def feature_identity(spec: FeatureSpec, pool: Pool, scorer: ModelRef | None) -> dict[str, Any]:
    """Everything that can change a feature's values; `scorer` is None for one that does not look through a model."""
    return {
        "spec": spec_identity(spec),
        "pool": pool.fingerprint,
        "scorer": fingerprint(scorer) if scorer else None,
    }


def check(selection: Selection, selector: Any, pool: Pool, budget: Budget) -> None:
    """Raises PluginError unless the ids are distinct, from the pool, and exactly what the budget allows."""
    who = f"selector '{selector.plugin_name}'"
    if not isinstance(selection, Selection):
        raise PluginError(f"{who} returned {type(selection).__name__}, not a Selection.")
    ids = selection.ids
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


def facts(chosen: Sequence[Example], tokens: np.ndarray, labels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a reader wants to know of a selection; `tokens` are those of the chosen examples.

    Its composition is the count of each value of source and category (where examples have them), of response length,
    and for a pool with hidden labels of each label.
    """
    hashes = {example.content_hash for example in chosen}
    result: dict[str, Any] = {
        "examples": len(chosen),
        "response_tokens": int(tokens.sum()),
        "exact_duplicates": len(chosen) - len(hashes),
        "mean_prompt_chars": float(np.mean([len(e.prompt) for e in chosen])) if chosen else 0.0,
        "mean_response_chars": float(np.mean([len(e.response) for e in chosen])) if chosen else 0.0,
    }
    rows = [labels[example.id] for example in chosen if example.id in labels]
    values = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    for name in ("source", "category"):
        found = [getattr(example, name) for example in chosen]
        if any(found):
            values.setdefault(name, found)
    result["composition"] = {name: _counts(column) for name, column in values.items()}
    if chosen:
        result["composition"]["response tokens"] = _lengths(tokens)
    return result


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
        folder / "selection.json",
        {
            "ids": selection.ids,
            "scores": None if selection.scores is None else np.asarray(selection.scores, np.float64),
            "diagnostics": numbers,
            "features": [{"kind": stage.kind, "key": stage.key, "cost": stage.cost} for stage in used],
        },
    )


def _read(stage: Stage) -> Selected:
    data = read_json(stage.path / "selection.json")
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
