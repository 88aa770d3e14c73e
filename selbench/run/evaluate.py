"""Scoring a model with one suite, as a stage: the scores, and beside them the value of every item."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selbench.api import Context, ModelRef, Score
from selbench.errors import PluginError
from selbench.store.cost import Cost
from selbench.store.files import write_json
from selbench.store.keys import derive_seed, plugin_identity
from selbench.store.stages import Store

ITEMS = "items.parquet"


@dataclass(frozen=True)
class Evaluated:
    """The scores of one suite (rows for the record), where the items are, and what it cost."""

    scores: list[dict[str, Any]]
    items: Path
    cost: Cost
    stage: str


def evaluate(
    name: str,
    suite: Any,
    model: Callable[[], ModelRef],
    model_key: str,
    seed: int,
    store: Store,
    say: Callable[[str], None] = lambda message: None,
) -> Evaluated:
    """`model` is called only if there is something to do; `model_key` says what it computes
    (the key of its training stage, or a base model's fingerprint)."""

    def compute(folder: Path) -> dict[str, float]:
        ref = model()
        say(f"evaluating {name}")
        context = Context(seed=derive_seed(seed, "evaluation"), scratch=folder)
        scores = suite.evaluate(ref, context)
        _check(scores, suite)
        _write_items(folder / ITEMS, name, scores)
        rows = [{"suite": name, **_row(score)} for score in scores]
        write_json(folder / "scores.json", rows)
        return context.logged

    stage = store.stage("evaluation", evaluation_identity(suite, model_key, seed), compute)
    rows = json.loads((stage.path / "scores.json").read_text())
    return Evaluated([{**row, "suite": name} for row in rows], stage.path / ITEMS, stage.cost, stage.key)


def evaluation_identity(suite: Any, model_key: str, seed: int) -> dict[str, Any]:
    """Everything that can change the scores."""
    return {"suite": plugin_identity(suite), "model": model_key, "seed": seed}


def _check(scores: Sequence[Score], suite: Any) -> None:
    who = f"suite '{suite.plugin_name}'"
    headline = [score for score in scores if score.headline]
    if not headline:
        raise PluginError(f"{who} returned no headline score.")
    if len({score.higher_is_better for score in headline}) > 1:
        raise PluginError(f"{who} mixes headline scores where higher is better with some where lower is.")
    seen = [(score.task, score.metric) for score in scores]
    if twice := {pair for pair in seen if seen.count(pair) > 1}:
        raise PluginError(f"{who} returned {'/'.join(min(twice))} more than once.")


def _row(score: Score) -> dict[str, Any]:
    fields = {item.name: getattr(score, item.name) for item in dataclasses.fields(score)}
    return {**fields, "items": len(score.items)}


def _write_items(path: Path, suite: str, scores: Sequence[Score]) -> None:
    import pandas as pd

    rows = [(suite, score.task, score.metric, id, value) for score in scores for id, value in score.items.items()]
    pd.DataFrame(rows, columns=["suite", "task", "metric", "item", "value"]).to_parquet(path, index=False)
