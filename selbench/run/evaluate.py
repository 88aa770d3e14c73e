"""Evaluation as a stage: the scores that one suite gives a model or a selection, and the value of every test item."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import Chosen, Context, ModelRef, Score
from selbench.errors import PluginError
from selbench.run.plugin_call import plugin_call, plugin_title, type_name
from selbench.run.stage import RunStage
from selbench.store.cost import Cost
from selbench.store.facts import ScoreRow, read_fields
from selbench.store.files import scratch_in, write_json
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.records import ITEMS
from selbench.store.stages import Store

SCORES = "scores.json"


@dataclass(frozen=True)
class Evaluated:
    """The result of one suite."""

    scores: list[ScoreRow]  # as the record keeps them
    items: Path  # the Parquet file with the value of every test item
    cost: Cost
    stage: str  # the key of the stage


def selection_key(chosen: Chosen) -> str:
    """What stands for a selection in the key of its evaluation: the examples that were chosen, in any order, and all labels."""
    return "selection-" + digest([chosen.pool.fingerprint, sorted(chosen.ids), chosen.labels])


@dataclass(frozen=True, eq=False)
class EvaluationStage(RunStage):
    """The evaluation of one model, or one selection, with one suite."""

    name: str  # of the suite in this run
    suite: Any
    # The key of the stage that trained the model, the fingerprint of a model as it is, or `selection_key`.
    subject_key: str
    seed: int  # of the run
    kind: ClassVar[str] = "evaluation"

    @property
    def identity(self) -> dict[str, Any]:
        return {"suite": plugin_identity(self.suite), "model": self.subject_key, "seed": self.seed}

    def result(self, store: Store, subject: Callable[[], ModelRef | Chosen], say: Callable[[str], None]) -> Evaluated:
        """The scores; the suite is run, on what `subject` returns, only if the store does not have them.

        Raises PluginError if the suite breaks its contract, and any error of the suite's own.
        """

        def compute(folder: Path) -> dict[str, float]:
            given = dataclasses.replace(subject())  # a suite may write on what it is given
            say(f"evaluating {self.name}")
            with scratch_in(folder) as scratch, plugin_call(self.suite, "evaluate"):
                context = Context(seed=derive_seed(self.seed, "evaluation"), scratch=scratch)
                found = self.suite.evaluate(given, context)
            scores = checked_scores(found, self.suite)
            _write_items(folder / ITEMS, self.name, scores)
            write_json(folder / SCORES, [{"suite": self.name, **_score_row(score)} for score in scores])
            return context.logged

        stage = store.stage(self.kind, self.identity, compute)
        rows = json.loads((stage.path / SCORES).read_text())
        # The key does not depend on the suite's name in a run: another run may have computed the stage under another name.
        scores = [read_fields(ScoreRow, {**row, "suite": self.name}) for row in rows]
        return Evaluated(scores, stage.path / ITEMS, stage.cost, stage.key)


def checked_scores(given: Any, suite: Any) -> list[Score]:
    """What a suite returned, its numbers as floats and the ids of its items as text.

    Raises PluginError unless they are Scores of finite numbers with a headline, all headlines of one direction and each
    the mean of its items, and no (task, metric) twice.
    """
    who = plugin_title(suite)
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise PluginError(f"{who} returned {type_name(given)}, not a list of Scores.")
    if foreign := [score for score in given if not isinstance(score, Score)]:
        raise PluginError(f"{who} returned {type_name(foreign[0])} among its scores, where each is a Score.")
    scores = [_plain_score(score, who) for score in given]
    headline = [score for score in scores if score.headline]
    if not headline:
        raise PluginError(f"{who} returned no headline score.")
    if len({score.higher_is_better for score in headline}) > 1:
        raise PluginError(f"{who} mixes headline scores where higher is better with some where lower is.")
    for score in scores:
        for name in ("cut", "left_out"):
            if not isinstance(count := getattr(score, name), int) or count < 0:
                raise PluginError(f"{who}: {name} of task '{score.task}' must be a number of items, not {count!r}.")
    seen = [(score.task, score.metric) for score in scores]
    if twice := {pair for pair in seen if seen.count(pair) > 1}:
        raise PluginError(f"{who} returned {'/'.join(min(twice))} more than once.")
    for score in headline:
        _require_mean(score, who)
    return scores


def _plain_score(score: Score, who: str) -> Score:
    for name in ("task", "metric"):
        if not isinstance(text := getattr(score, name), str) or not text:
            raise PluginError(f"{who} returned a score whose {name} is {text!r}, not a name.")
    what = f"{who}: the score {score.task}/{score.metric}"
    for name in ("higher_is_better", "headline"):
        if not isinstance(fact := getattr(score, name), bool | np.bool_):
            raise PluginError(f"{what} has {fact!r} for {name}, which is true or false.")
    for name in ("items", "weights"):
        if not isinstance(values := getattr(score, name), Mapping):
            raise PluginError(
                f"{what} has {type_name(values)} for {name}, not a mapping from an item's id to a number."
            )
    items = {str(id): _number(value, f"{what}: item '{id}'") for id, value in score.items.items()}
    weights = {str(id): _number(value, f"{what}: the weight of item '{id}'") for id, value in score.weights.items()}
    if len(items) != len(score.items):
        raise PluginError(f"{what} has items whose ids are the same text.")
    if weights and (weights.keys() != items.keys() or min(weights.values()) < 0 or not sum(weights.values())):
        raise PluginError(f"{what} has weights that are not one for each item, 0 or more and not all 0.")
    return dataclasses.replace(
        score,
        value=_number(score.value, what),
        higher_is_better=bool(score.higher_is_better),
        headline=bool(score.headline),
        items=items,
        weights=weights,
    )


def _number(value: Any, what: str) -> float:
    if not isinstance(value, Real | np.bool_):
        raise PluginError(f"{what} is {type_name(value)}, not a number.")
    if not math.isfinite(value):
        raise PluginError(f"{what} is {float(value)}: a score is a finite number.")
    return float(value)


def _require_mean(score: Score, who: str) -> None:
    """The value on the board and the items that verdicts are reached by have to say the same."""
    if not score.items:
        return
    values = np.array(list(score.items.values()))
    mean = float(np.average(values, weights=[score.weights[id] for id in score.items] if score.weights else None))
    # Rounded to four decimals is near enough; the largest item gives the scale.
    if abs(score.value - mean) > 1e-4 * max(np.abs(values).max(), abs(mean)) * 0.51:
        weighted = "weighted mean" if score.weights else "mean"
        raise PluginError(
            f"{who}: the headline {score.task}/{score.metric} is {score.value:.6g}, but the {weighted} of its "
            f"{len(values)} items is {mean:.6g}. Give the mean, the items' weights, or no items."
        )


def _score_row(score: Score) -> dict[str, Any]:
    """The score as plain data, with the number of its items for the items themselves."""
    fields = {item.name: getattr(score, item.name) for item in dataclasses.fields(score) if item.name != "weights"}
    return {**fields, "items": len(score.items)}


def _write_items(path: Path, suite: str, scores: Sequence[Score]) -> None:
    """One row per test item and metric: suite, task, metric, item, value."""
    import pandas as pd

    rows = [(suite, score.task, score.metric, id, value) for score in scores for id, value in score.items.items()]
    pd.DataFrame(rows, columns=["suite", "task", "metric", "item", "value"]).to_parquet(path, index=False)
