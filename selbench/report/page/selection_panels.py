"""Panels about the selections: how much they overlap, and what they are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from selbench.numbers import count_text, is_known
from selbench.report.page.source import Panel, Source, View, plain_table, rankable
from selbench.statistics.chance import expected_jaccard
from selbench.store.records import Record

NO_RUNS = "These scores come without runs, so nothing is known of the selections. Runs of selbench record them."

Group = dict[str, list[Record]]


def _runs_by_selection(source: Source) -> dict[str, Group]:
    """Pool (with what the page names of it) and budget -> arm -> one record per selection.

    Runs of several seeds may have the same selection, and a run may stand in several tables: it counts once.
    """
    groups: dict[tuple[str, str], Group] = {}  # by label and pool: two pools may have one name
    seen: set[tuple[str, str, str, str]] = set()
    for table in source.board.tables:
        for row in rankable(table):
            for run in source.runs(row):
                label = f"{table.setting.get('pool') or run.axes.pool} · {run.axes.budget_label}"
                stage = run.stages.get("selection", run.key)
                place = label, run.axes.pool_key
                if (*place, row.arm, stage) not in seen:
                    seen.add((*place, row.arm, stage))
                    groups.setdefault(place, {}).setdefault(row.arm, []).append(run)
    labels = [label for label, _ in groups]
    return {
        f"{label} · pool {key[:8]}" if labels.count(label) > 1 else label: group
        for (label, key), group in groups.items()
    }


def overlap_panel(source: Source) -> Panel:
    """The Jaccard index of every two arms' selections, and its ratio to the one expected by chance."""
    found = [(label, _jaccard_matrices(source, group)) for label, group in _runs_by_selection(source).items()]
    return Panel(
        "overlap",
        "Overlap of selections",
        "Jaccard index: examples in both, of those in either; mean over pairs of runs with the same seed. The diagonal "
        "is a method against itself with another seed. Against chance: divided by what two random sets of these sizes "
        "share.",
        tuple(View(label, data) for label, data in found if data),
        menu="Pool and budget",
        by=(("jaccard", "Jaccard", ""), ("chance", "times chance", "")),
        by_menu="Show",
        missing=NO_RUNS if not source.records else "The runs' selection.json files are not beside their records.",
    )


def _jaccard_matrices(source: Source, group: Group) -> dict[str, Any] | None:
    ids = {arm: [(run, found) for run in runs if (found := source.ids(run))] for arm, runs in group.items()}
    arms = [arm for arm, sets in ids.items() if sets]
    if not arms:
        return None
    pool = _pool_size(source, ids[arms[0]][0][0])
    cells = [[_mean_overlap(ids[a], ids[b], a == b, pool) for b in arms] for a in arms]
    return {
        "arms": arms,
        "jaccard": [[cell[0] for cell in line] for line in cells],
        "chance": [[cell[0] / cell[1] if cell[1] else math.nan for cell in line] for line in cells],
        "expected": [[cell[1] for cell in line] for line in cells],
        "sizes": [round(sum(len(found) for _, found in ids[arm]) / len(ids[arm])) for arm in arms],
        "pool": pool,
    }


Sets = list[tuple[Record, frozenset[str]]]


def _mean_overlap(first: Sets, second: Sets, same_arm: bool, pool: int | None) -> tuple[float, float]:
    """The mean Jaccard index over pairs of runs, and the mean of those expected by chance.

    Pairs are runs under the same seed, or all pairs if no seed is shared; an arm against itself is paired over its
    seeds. NaN if there is no pair: an arm with one selection against itself.
    """
    if same_arm:
        couples = [(a, b) for i, (_, a) in enumerate(first) for _, b in first[i + 1 :]]
    else:
        couples = [(a, b) for x, a in first for y, b in second if x.axes.seed == y.axes.seed]
        couples = couples or [(a, b) for _, a in first for _, b in second]
    if not couples:
        return math.nan, math.nan
    shared = [len(a & b) / len(a | b) for a, b in couples]
    expected = [expected_jaccard(len(a), len(b), pool) if pool else math.nan for a, b in couples]
    return sum(shared) / len(shared), sum(expected) / len(expected)


def _pool_size(source: Source, run: Record) -> int | None:
    """The pool's number of examples: that of the arm `full`, else inferred from a budget that is a share; else None."""
    for other in source.records.values():
        if other.axes.pool_key == run.axes.pool_key and other.axes.selector == "full":
            return other.selection.examples or None
    budget, unit = run.axes.budget, run.axes.budget_unit
    if isinstance(budget, float) and budget > 0 and unit == "examples":
        return round((run.selection.examples or 0) / budget) or None
    return None


def composition_panel(source: Source) -> Panel:
    """What selections are made of: shares of labels if the pool has any, and lengths."""
    views = [View(label, _composition_data(source, group)) for label, group in _runs_by_selection(source).items()]
    labels = list(dict.fromkeys(name for view in views for name in view.data["labels"]))
    by = (*((name, name.replace("_", " "), "") for name in labels), ("lengths", "lengths and repeats", ""))
    return Panel(
        "composition",
        "Composition of selections",
        "Share of the selected examples with each label, mean over runs; grey bars are the whole pool where the arm "
        "full was run. Lengths are means per example.",
        tuple(views),
        menu="Pool and budget",
        by=by,
        by_menu="By",
        missing=NO_RUNS,
    )


FACTS = (
    ("examples", "examples"),
    ("response_tokens", "response tokens"),
    ("exact_duplicates", "exact repeats"),
    ("exact_duplicates_by_chance", "exact repeats by chance"),
    ("mean_prompt_chars", "prompt length [characters]"),
    ("mean_response_chars", "response length [characters]"),
)


def _composition_data(source: Source, group: Group) -> dict[str, Any]:
    first = next(iter(group.values()))[0]
    key = first.axes.pool_key
    whole = [run for run in source.records.values() if run.axes.selector == "full"]
    pool = [run for run in whole if run.axes.pool_key == key][:1]
    everything = {**group, **({"pool": pool} if pool else {})}
    labels = list(dict.fromkeys(name for runs in group.values() for run in runs for name in _label_counts(run)))
    return {
        "arms": list(group),
        "runs": [len(runs) for runs in group.values()],
        "labels": {name: _shares_by_arm(everything, name) for name in labels},
        "facts": plain_table(
            ["Method", *(label for _, label in FACTS)],
            [[arm, *(count_text(_mean_fact(runs, name)) for name, _ in FACTS)] for arm, runs in everything.items()],
        ),
    }


def _label_counts(run: Record) -> Mapping[str, Mapping[str, float]]:
    return run.selection.composition


def _shares_by_arm(everything: Group, label: str) -> dict[str, Any]:
    """The values of a label, those most frequent in the pool (or else in the first arm) first, and each arm's shares."""
    shares = {arm: [_label_shares(run, label) for run in runs] for arm, runs in everything.items()}
    means = {
        arm: {value: sum(row.get(value, 0.0) for row in rows) / len(rows) for row in rows for value in row}
        for arm, rows in shares.items()
    }
    reference = means.get("pool") or next(iter(means.values()))
    values = sorted({value for row in means.values() for value in row}, key=lambda v: (-reference.get(v, 0.0), v))
    return {"values": values, "arms": {arm: [row.get(v, 0.0) for v in values] for arm, row in means.items()}}


def _label_shares(run: Record, label: str) -> dict[str, float]:
    counts = _label_counts(run).get(label, {})
    total = sum(counts.values())
    return {str(value): n / total for value, n in counts.items()} if total else {}


def _mean_fact(runs: Sequence[Record], fact: str) -> float:
    values = [value for run in runs if is_known(value := getattr(run.selection, fact))]
    return sum(values) / len(values) if values else math.nan
