"""From records to tidy tables of scores: one row per finished run and suite, or per run and task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from selbench.store.names import Names
from selbench.store.newest import current_results
from selbench.store.records import Record
from selbench.store.setting import SHARED, TRAINING

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "random"
# The columns that arms must share to be comparable (see store.setting), and those that tell arms apart.
SETTING = [*SHARED, *TRAINING]
ARM = ["scorer", "budget", "target", "selector"]
# Stands for the seed of an arm that has none: the base model, which is not trained.
NO_SEED = -1
# Test items that were cut, or left out of the score: of the suite or task that a row is about.
LEFT = ("items_cut", "items_left_out")
# Columns of which the board shows the mean over an arm's runs; NaN if a record does not know the value.
COSTS = [
    "examples",
    "asked",
    "response_tokens",
    "trained",
    "cut",
    "dropped",
    "tokens_trained",
    "tokens_fit",
    "tokens_lost",
    "context",
    "steps",
    "selection_s",
    "training_s",
    "evaluation_s",
    "flops",
    "money",
    "leaked",
    "target_leaked",
    "unchanged",
    *LEFT,
]

Row = dict[str, Any]


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row per finished run and suite: SETTING, ARM, seed, amount, score, higher_is_better, COSTS, run.

    Only results by the newest code stand (see store.newest). The base model and models trained elsewhere, which have
    no trainer, get a row in every setting that they can be compared in, whatever the trainer. Raises UserError if two runs fall
    on one place.
    """
    return _tidy_table(records, _suite_rows)


def task_table(records: Iterable[Record]) -> pd.DataFrame:
    """As runs_table, but with one row per headline task of a suite, named in `task`, for aggregates over tasks."""
    return _tidy_table(records, _task_rows)


def _tidy_table(records: Iterable[Record], scores: Callable[[Record, Names], Iterable[Row]]) -> pd.DataFrame:
    import pandas as pd

    finished = current_results(records).records
    names = Names.of(finished)
    rows = pd.DataFrame(
        [{**_run_columns(record, names), **row} for record in finished for row in scores(record, names)]
    )
    if rows.empty:
        return pd.DataFrame(columns=[*SETTING, *ARM, "seed", "amount", "score", "higher_is_better", *COSTS, "run"])
    # What has no trainer joins every setting that shares its SHARED columns, and takes over that setting's trainer.
    untuned = rows["trainer_key"] == ""
    settings = rows.loc[~untuned, SETTING].drop_duplicates()
    training = list(TRAINING)
    placed = rows[untuned].drop(columns=training).merge(settings, on=list(SHARED), how="left")
    placed[training] = placed[training].fillna("")
    # A model trained elsewhere has a seed, though nobody knows which. It counts as one of the first seed of its setting, so
    # that its seed noise is that of an arm with one seed: as an arm without noise it would win verdicts by luck.
    elsewhere = placed["examples"] > 0
    if elsewhere.any():
        first = rows[~untuned].groupby(SETTING)["seed"].min()
        keys = placed.loc[elsewhere, SETTING].itertuples(index=False, name=None)
        placed.loc[elsewhere, "seed"] = [first.get(key, 0) for key in keys]
    return pd.concat([rows[~untuned], placed], ignore_index=True)


def _setting_columns(record: Record, names: Names, suite: str) -> Row:
    """The columns of SETTING for this suite, without `task` and `metric`, which belong to a score."""
    axes = record.axes
    return {
        "comparison": record.comparison,
        "pool": names.pool(axes),
        "pool_key": axes.pool_key,
        "suite": suite,
        "suite_options": names.suite_options(axes, suite),
        "suite_key": axes.suite_keys.get(suite, ""),
        "model": names.model(axes),
        "trainer": names.trainer(axes),
        "match": axes.match or "",
        "trainer_key": axes.trainer_key or "",
    }


def _suite_rows(record: Record, names: Names) -> Iterable[Row]:
    for suite, score in record.headline.items():
        tasks = record.headlines(suite)
        metrics = sorted({row.metric for row in tasks})
        yield {
            **_setting_columns(record, names, suite),
            "task": "",
            "metric": metrics[0] if len(metrics) == 1 else "mean",
            "score": score,
            "higher_is_better": tasks[0].higher_is_better,
            "target_leaked": _in_targets(record, suite, ""),
            "items_cut": sum(row.cut for row in tasks),
            "items_left_out": sum(row.left_out for row in tasks),
        }


def _task_rows(record: Record, names: Names) -> Iterable[Row]:
    for row in record.scores:
        if row.headline:
            yield {
                **_setting_columns(record, names, row.suite),
                "task": row.task,
                "metric": row.metric,
                "score": row.value,
                "higher_is_better": row.higher_is_better,
                "target_leaked": _in_targets(record, row.suite, row.task),
                "items_cut": row.cut,
                "items_left_out": row.left_out,
            }


def _run_columns(record: Record, names: Names) -> Row:
    axes = record.axes
    return {
        "scorer": names.scorer(axes),
        "budget": axes.budget_label,
        "amount": axes.budget if axes.budget is not None else (1.0 if axes.seed is not None else 0.0),
        "target": names.target(axes),
        "selector": axes.selector,
        "seed": NO_SEED if axes.seed is None else axes.seed,
        **_cost_columns(record),
        "run": record.key,
    }


def _cost_columns(record: Record) -> Row:
    stages = [record.cost.get(name, {}) for name in ("selection", "training", "evaluation")]
    return {
        "examples": record.selection.examples or 0,
        "asked": math.nan if record.selection.asked is None else float(record.selection.asked),
        "response_tokens": record.selection.response_tokens or 0,
        **_trained(record),
        "steps": record.logged.get("training/steps", math.nan),
        **{f"{name}_s": cost.get("wall_s", 0.0) for name, cost in zip(("selection", "training", "evaluation"), stages)},
        # Unknown only if no stage knows its cost; if some do, their sum is a lower bound.
        "flops": _known_sum(cost.get("flops") for cost in stages),
        "money": _known_sum(cost.get("money") for cost in stages),
        "leaked": _known_sum([record.selection.leaked]),
        "unchanged": math.nan if record.unchanged is None else float(record.unchanged),
    }


def _trained(record: Record) -> Row:
    """Of the selected examples and their response tokens what was trained on; nothing of an arm that is not trained."""
    facts, untuned = record.training, record.axes.seed is None
    known = {
        "trained": facts.trained,
        "cut": facts.cut,
        "dropped": facts.dropped,
        "tokens_trained": facts.response_tokens_trained,
        "tokens_fit": facts.response_tokens_kept,
        "tokens_lost": facts.lost,
    }
    # What a model trained elsewhere has seen of its selection is not known.
    unknown = 0.0 if untuned and not record.selection.examples else math.nan
    found = {name: unknown if value is None else float(value) for name, value in known.items()}
    return {**found, "context": math.nan if facts.context is None else float(facts.context)}


def _in_targets(record: Record, suite: str, task: str) -> float:
    """The test items of a suite, or of one task of it, in the examples of the targets; NaN if unknown or without a target."""
    about = record.leaks.get(suite)
    if about is None or not about.checked or not about.target:
        return math.nan
    counts = about.target if not task else about.tasks[task].target if task in about.tasks else {}
    return float(sum(counts.values()))


def _known_sum(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) if known else math.nan
