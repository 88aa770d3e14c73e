"""Selection: features from the store, the selector's choice checked, and the facts about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Budget, Context, Example, Feature, FeatureSpec, ModelRef, Pool, Selection
from selbench.errors import PluginError, UserError
from selbench.models import fingerprint, load_tokenizer
from selbench.store.cost import Cost, total
from selbench.store.keys import derive_seed, plugin_identity, spec_identity
from selbench.store.stages import Stage, Store, load_arrays, save_arrays, write_json


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

    stage = store.stage("tokens", {"pool": pool.fingerprint, "model": fingerprint(model)}, compute)
    return load_arrays(stage.path)["tokens"]


def make_budget(selector: Any, pool: Pool, amount: int | float, unit: str, tokens: np.ndarray | None) -> Budget | None:
    """The budget for this selector; None for one that selects nothing (the arm `base`)."""
    if selector.share == 0:
        return None
    if selector.share is not None:
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
) -> Selected:
    """The selection, cached. `target` is what a targeted selector may look at, per capability.

    Raises PluginError if the selector breaks its contract, UserError or NotApplicable as the selector does.
    """
    if budget is None:
        return Selected()
    identity = selection_identity(selector, pool, budget, scorer, target, seed)
    used: list[Stage] = []

    def compute(folder: Path) -> Mapping[str, float]:
        context = Context(
            pool,
            seed=derive_seed(seed, "selection") if selector.stochastic else 0,
            scorer=scorer,
            target=target,
            scratch=folder,
            feature_store=feature_store(store, used),
        )
        selection = selector.select(pool, budget, context)
        check(selection, selector, pool, budget)
        _write(folder, selection, used)
        return context.logged

    stage = store.stage("selection", identity, compute)
    return _read(stage)


def selection_identity(
    selector: Any, pool: Pool, budget: Budget, scorer: ModelRef, target: Mapping[str, Pool], seed: int
) -> dict[str, Any]:
    """Everything that can change a selection; the seed only where the selector is stochastic, and so on."""
    return {
        "selector": plugin_identity(selector),
        "pool": pool.fingerprint,
        "budget": [budget.unit, budget.limit, None if budget.unit == "examples" else budget.costs.tolist()],
        "scorer": fingerprint(scorer) if selector.uses_scorer else None,
        "target": {name: examples.fingerprint for name, examples in target.items()} if selector.targeted else None,
        "seed": seed if selector.stochastic else None,
    }


def feature_store(store: Store, used: list[Stage]) -> Callable[[FeatureSpec, Pool, Context], Feature]:
    """A provider of cached features that notes which stages it handed out."""

    def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        identity = {
            "spec": spec_identity(spec),
            "pool": pool.fingerprint,
            "scorer": fingerprint(context.scorer) if spec.needs_scorer else None,
        }

        def compute(folder: Path) -> Mapping[str, float]:
            scorer = context.scorer if spec.needs_scorer else None
            inner = Context(
                pool, scorer=scorer, scratch=folder, feature_store=provide
            )  # features may build on features
            save_arrays(folder, spec.compute(pool, inner))
            return inner.logged

        stage = store.stage("features", identity, compute)
        used.append(stage)
        return load_arrays(stage.path)

    return provide


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

    For a pool with hidden labels also its composition: the count of each value of each label.
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
    if rows:
        result["composition"] = {name: _counts([row[name] for row in rows]) for name in rows[0]}
    return result


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
            "features": [{"key": stage.key, "cost": stage.cost} for stage in used],
        },
    )


def _read(stage: Stage) -> Selected:
    try:
        data = json.loads((stage.path / "selection.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"the selection at {stage.path} cannot be read: {error}. Delete that folder and run again."
        ) from error
    return Selected(
        ids=tuple(data["ids"]),
        scores=None if data["scores"] is None else np.asarray(data["scores"]),
        cost=total([stage.cost, *({row["key"]: row["cost"] for row in data["features"]}.values())]),
        logged=stage.logged,
        stages={"selection": stage.key, **{f"features/{i}": row["key"] for i, row in enumerate(data["features"])}},
    )
