"""Evaluation as a stage: the scores that one suite gives a model, and the value of every test item."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from selbench.api import Context, ModelRef, Score
from selbench.errors import PluginError
from selbench.run.stage import RunStage
from selbench.store.cost import Cost
from selbench.store.facts import ScoreRow, read_fields
from selbench.store.files import write_json
from selbench.store.keys import derive_seed, plugin_identity
from selbench.store.records import ITEMS
from selbench.store.stages import Store

SCORES = "scores.json"


@dataclass(frozen=True)
class Evaluated:
    """The result of one suite on one model."""

    scores: list[ScoreRow]  # as the record keeps them
    items: Path  # the Parquet file with the value of every test item
    cost: Cost
    stage: str  # the key of the stage


@dataclass(frozen=True, eq=False)
class EvaluationStage(RunStage):
    """The evaluation of one model with one suite."""

    name: str  # of the suite in this run
    suite: Any
    model_key: str  # the key of the stage that trained the model, or the fingerprint of a model as it is
    seed: int  # of the run
    kind: ClassVar[str] = "evaluation"

    @property
    def identity(self) -> dict[str, Any]:
        return {"suite": plugin_identity(self.suite), "model": self.model_key, "seed": self.seed}

    def result(self, store: Store, model: Callable[[], ModelRef], say: Callable[[str], None]) -> Evaluated:
        """The scores; the suite is run, on what `model` returns, only if the store does not have them.

        Raises PluginError if the suite breaks its contract, and any error of the suite's own.
        """

        def compute(folder: Path) -> dict[str, float]:
            ref = model()
            say(f"evaluating {self.name}")
            context = Context(seed=derive_seed(self.seed, "evaluation"), scratch=folder)
            scores = self.suite.evaluate(ref, context)
            check_scores(scores, self.suite)
            _write_items(folder / ITEMS, self.name, scores)
            write_json(folder / SCORES, [{"suite": self.name, **_score_row(score)} for score in scores])
            return context.logged

        stage = store.stage(self.kind, self.identity, compute)
        rows = json.loads((stage.path / SCORES).read_text())
        # The key does not depend on the suite's name in a run: another run may have computed the stage under another name.
        scores = [read_fields(ScoreRow, {**row, "suite": self.name}) for row in rows]
        return Evaluated(scores, stage.path / ITEMS, stage.cost, stage.key)


def check_scores(scores: Sequence[Score], suite: Any) -> None:
    """Raises PluginError unless there is a headline score, all headline scores have one direction, and no (task, metric)
    occurs twice, and `cut` and `left_out` are counts."""
    who = f"suite '{suite.plugin_name}'"
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


def _score_row(score: Score) -> dict[str, Any]:
    """The score as plain data, with the number of its items for the items themselves."""
    fields = {item.name: getattr(score, item.name) for item in dataclasses.fields(score)}
    return {**fields, "items": len(score.items)}


def _write_items(path: Path, suite: str, scores: Sequence[Score]) -> None:
    """One row per test item and metric: suite, task, metric, item, value."""
    import pandas as pd

    rows = [(suite, score.task, score.metric, id, value) for score in scores for id, value in score.items.items()]
    pd.DataFrame(rows, columns=["suite", "task", "metric", "item", "value"]).to_parquet(path, index=False)
