"""From records to tables: one row per run and suite, and what they say over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from selbench.store.records import Record, budget_label

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "random"
# What arms must share to be comparable, and what then tells them apart.
SHARED = ["comparison", "pool", "pool_key", "suite", "suite_key", "metric", "model"]
SETTING = [*SHARED, "trainer", "match", "trainer_key"]
ARM = ["scorer", "budget", "selector"]


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row per finished run and suite. Of two runs of the same cell (the selector's code has changed) the later
    counts; the arm without fine-tuning stands in every setting that it can be compared in, whatever the trainer."""
    import pandas as pd

    finished = [record for record in records if record.status == "finished"]
    rows = pd.DataFrame([_row(record, suite, score) for record in finished for suite, score in record.headline.items()])
    rows = rows.drop_duplicates([*SETTING, *ARM, "seed"], keep="last")
    untuned = rows["trainer_key"] == ""
    settings = rows.loc[~untuned, SETTING].drop_duplicates()
    trainer = [name for name in SETTING if name not in SHARED]
    placed = rows[untuned].drop(columns=trainer).merge(settings, on=SHARED, how="left")
    placed[trainer] = placed[trainer].fillna("")
    return pd.concat([rows[~untuned], placed], ignore_index=True)


def _row(record: Record, suite: str, score: float) -> dict[str, Any]:
    axes, tasks = record.axes, [row for row in record.scores if row["suite"] == suite and row["headline"]]
    metrics = sorted({row["metric"] for row in tasks})
    return {
        "comparison": record.comparison,
        "pool": axes["pool"],
        "pool_key": axes["pool_key"],
        "trainer": axes["trainer"] or "",
        "match": axes["match"] or "",
        "trainer_key": axes["trainer_key"] or "",
        "suite": suite,
        "suite_key": axes["suite_keys"][suite],
        "metric": metrics[0] if len(metrics) == 1 else "mean",
        "higher_is_better": tasks[0]["higher_is_better"],
        "model": axes["model"],
        "scorer": axes["scorer"] or "",
        "budget": budget_label(axes),
        "amount": axes["budget"] if axes["budget"] is not None else (1.0 if axes["seed"] is not None else 0.0),
        "selector": axes["selector"],
        "seed": -1 if axes["seed"] is None else axes["seed"],
        "score": score,
        "examples": record.selection.get("examples", 0),
        "response_tokens": record.selection.get("response_tokens", 0),
        "selection_s": record.cost.get("selection", {}).get("wall_s", 0.0),
        "training_s": record.cost.get("training", {}).get("wall_s", 0.0),
        "evaluation_s": record.cost.get("evaluation", {}).get("wall_s", 0.0),
        "run": record.key,
    }


def board(runs: pd.DataFrame, baseline: str = BASELINE) -> pd.DataFrame:
    """One row per setting and arm, best first within a budget.

    `score`, `se` (standard error over seeds; NaN for one seed), `seeds`, and `vs_baseline`, `vs_baseline_se`: the
    mean difference to the arm `baseline` at the same budget, paired by seed. Examples and tokens are means over seeds,
    `selection_s` the mean cost of selecting, features included.
    """
    import pandas as pd

    rows = []
    for key, arm in runs.groupby([*SETTING, *ARM], sort=False, dropna=False):
        about = dict(zip([*SETTING, *ARM], key))
        mean, error = _mean_se(arm["score"])
        difference, difference_error = _mean_se(_paired(runs, about, arm, baseline))
        rows.append(
            {
                **about,
                "score": mean,
                "se": error,
                "seeds": len(arm),
                "vs_baseline": difference,
                "vs_baseline_se": difference_error,
                "examples": arm["examples"].mean(),
                "response_tokens": arm["response_tokens"].mean(),
                "selection_s": arm["selection_s"].mean(),
                "training_s": arm["training_s"].mean(),
                "amount": arm["amount"].iloc[0],
                "higher_is_better": bool(arm["higher_is_better"].iloc[0]),
            }
        )
    table = pd.DataFrame(rows)
    goodness = table["score"].where(table["higher_is_better"], -table["score"])
    order = table.assign(_good=-goodness).sort_values([*SETTING, "amount", "_good"], kind="stable")
    return order.drop(columns="_good").reset_index(drop=True)


def _paired(runs: pd.DataFrame, about: dict[str, Any], arm: pd.DataFrame, baseline: str) -> list[float]:
    """Differences to the baseline in the same setting, budget and seed."""
    same = runs["selector"] == baseline
    for name in [*SETTING, "budget"]:
        same &= runs[name] == about[name]
    against = runs[same].groupby("seed")["score"].mean()
    if about["selector"] == baseline:
        return []
    return [score - against[seed] for seed, score in zip(arm["seed"], arm["score"]) if seed in against.index]


def _mean_se(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard error; NaN where there is nothing to tell it from."""
    data = list(values)
    if not data:
        return math.nan, math.nan
    mean = sum(data) / len(data)
    if len(data) == 1:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in data) / (len(data) - 1)
    return mean, math.sqrt(variance / len(data))
