"""Converts the results of lm-eval's `evaluate` into scores with their items."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from selbench.api import Score
from selbench.errors import UserError, unknown

# Of a task with several metrics, the first of these is the headline; a task with none of them has its first metric.
PREFERRED = ("exact_match", "acc_norm", "acc")


def scores_of_results(
    results: Mapping[str, Any], requested: Sequence[str], metric: str, cut: Mapping[str, Collection[int]] | None = None
) -> list[Score]:
    """All scores of an evaluation, the headline of each requested task or group with its items, all others without.

    Args:
        results: what lm-eval's `evaluate` returned, with its samples.
        requested: the names of the suite's option `tasks`. Tasks inside a requested group get no headline of their own.
        cut: task -> the items (doc_id) of which some text did not fit.
        metric: the headline's metric, as "acc" or "exact_match,strict-match"; "" chooses by PREFERRED.

    Raises UserError if a task has no number, or not the metric that is asked for.
    """
    groups = {name for name in results.get("groups", {}) if name in requested}
    leaves = {name: _leaf_tasks(name, results["group_subtasks"]) for name in groups}
    # A task inside a requested group is no headline: the group's own headline already counts its items.
    inside = {leaf for members in leaves.values() for leaf in members}
    counts = {name: len(items) for name, items in (cut or {}).items()}
    found: list[Score] = []
    for name in results["samples"]:
        items = _item_values(results["samples"][name])
        scores = _task_scores(name, results, items, metric, headline=name not in inside)
        found += [dataclasses.replace(score, cut=counts.get(name, 0)) for score in scores]
    for name in sorted(groups):
        scores = _task_scores(name, results, _group_values(leaves[name], results["samples"]), metric, headline=True)
        total = sum(counts.get(leaf, 0) for leaf in leaves[name])
        found += [dataclasses.replace(score, cut=total) for score in scores]
    return found


def _group_values(
    leaves: Sequence[str], samples: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, float]]:
    """ "metric,filter" -> "task/item" -> value, for the items of all tasks of a group."""
    found: dict[str, dict[str, float]] = {}
    for leaf in leaves:
        for key, values in _item_values(samples[leaf]).items():
            found.setdefault(key, {}).update({f"{leaf}/{id}": value for id, value in values.items()})
    return found


def _leaf_tasks(group: str, children: Mapping[str, Iterable[str]]) -> list[str]:
    """The tasks of a group, those of the groups inside it included."""
    return [
        leaf
        for child in children.get(group, ())
        for leaf in (_leaf_tasks(child, children) if child in children else [child])
    ]


def _metric_values(numbers: Mapping[str, Any]) -> dict[str, float]:
    """ "metric,filter" -> value, without standard errors and without entries that are no number."""
    return {
        key: float(value)
        for key, value in numbers.items()
        if "," in key and "_stderr," not in key and isinstance(value, Real)
    }


def _task_scores(
    name: str, results: Mapping[str, Any], items: Mapping[str, Mapping[str, float]], wanted: str, headline: bool
) -> list[Score]:
    metrics = _metric_values(results["results"][name])
    chosen = _headline_metric(name, metrics, wanted) if headline else None
    higher = results["higher_is_better"].get(name, {})
    found = []
    for key, value in metrics.items():
        first = key == chosen
        found.append(
            Score(
                task=name,
                metric=key.removesuffix(",none"),
                value=value,
                higher_is_better=higher.get(key.split(",")[0]) is not False,
                headline=first,
                items=_items_behind_mean(items.get(key, {}), value) if first else {},
            )
        )
    return sorted(found, key=lambda score: not score.headline)


def _headline_metric(name: str, metrics: Mapping[str, float], wanted: str) -> str:
    if not metrics:
        raise UserError(f"task '{name}' gave no number to score by.")
    for metric in (wanted,) if wanted else PREFERRED:
        for key in metrics:
            if metric in (key, key.split(",")[0]):
                return key
    if wanted:
        raise UserError(f"task '{name}': " + unknown("metric", wanted, (key.removesuffix(",none") for key in metrics)))
    return next(iter(metrics))


def _item_values(samples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """ "metric,filter" -> item id -> value, for the metrics that are one number per item."""
    found: dict[str, dict[str, float]] = {}
    names = item_ids(samples)
    for sample in samples:
        for metric in sample["metrics"]:
            if isinstance(sample[metric], Real):
                key = f"{metric},{sample['filter']}"
                found.setdefault(key, {})[names[sample["doc_id"]]] = float(sample[metric])
    return found


def item_ids(samples: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """doc_id -> the item's id: its field `id` if all items have distinct ones, else a hash of its content.

    Equal items get a number after the hash, in the order of the task. Such ids do not depend on lm-eval's numbering, so
    two runs pair the same items.
    """
    docs = {sample["doc_id"]: sample for sample in samples}
    own = {doc: str(sample["doc"]["id"]) for doc, sample in docs.items() if sample["doc"].get("id") not in (None, "")}
    if len(own) == len(docs) == len(set(own.values())):
        return own
    copies: dict[str, int] = {}
    names = {}
    for doc in sorted(docs):
        stem = docs[doc]["doc_hash"][:16]
        copies[stem] = copies.get(stem, 0) + 1
        names[doc] = stem if copies[stem] == 1 else f"{stem}-{copies[stem]}"
    return names


def _items_behind_mean(items: Mapping[str, float], value: float) -> Mapping[str, float]:
    """The items if `value` is their mean, else none: verdicts that pair items rely on the score being that mean."""
    return items if items and math.isclose(np.mean(list(items.values())), value, rel_tol=1e-6, abs_tol=1e-9) else {}
