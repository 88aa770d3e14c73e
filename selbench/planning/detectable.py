"""The smallest difference between two arms for which the planned board will have a verdict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selbench.errors import UserError
from selbench.numbers import counted_text
from selbench.planning.demands import Cell
from selbench.planning.item_spread import PastRuns, item_spread
from selbench.planning.plan import Detectable
from selbench.planning.suites import has_share_scores
from selbench.run.identity import run_axes
from selbench.settings import without_effect
from selbench.statistics.foreseen import foreseen_effect
from selbench.statistics.seed_effects import own_spread
from selbench.store.axes import Axes
from selbench.store.item_scores import ItemScores
from selbench.store.keys import digest, options_key, plugin_identity
from selbench.store.names import with_known_keys
from selbench.store.records import Record

BASELINE = "random"
# Standard deviation of a score from 0 to 1 over three seeds: median and 90th percentile of the 1,000 arms on the pool Tulu-v2
# whose scores the repository of TIS holds (assets/plot_data). The scores are theirs, the two figures our analysis.
PUBLISHED = ((0.0047, "the median of 1,000 published arms"), (0.021, "their 90th percentile"))
# With fewer degrees of freedom a spread of past runs is a guess.
SURE_DF = 4
# Axes that tell apart the arms of one table, and those on which a table does not depend.
_ARM_AXES = ("selector", "selector_key", "selector_code_key", "scorer", "scorer_key", "target", "target_key")
_ARM_SETTINGS = ("selector", "scorer", "target")
_LEFT_OUT = ("suites", "suite_keys", "suite_options_keys", "trainer_options_key", "seed")


@dataclass(frozen=True)
class Spread:
    """The spread over seeds of one suite's score, without what the arms of a table share under a seed."""

    sd: float  # standard deviation, pooled over the arms, in the metric's units
    df: float  # its degrees of freedom
    arms: int  # that have two seeds or more
    runs: PastRuns = field(default_factory=dict)  # that it comes from


@dataclass
class _Planned:
    """What is planned for one suite on one model."""

    suite: Any  # the plugin
    seeds: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # arm in its table -> seeds
    tables: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # table -> arms
    baseline: bool = False  # whether an arm is the baseline


def detectables(cells: Sequence[Cell], records: Iterable[Record], items: ItemScores | None = None) -> list[Detectable]:
    """What the board of the planned cells can show, by suite and model, with the tests and the correction of a board.

    The spread over seeds is taken from the past `records` of the suite on the model, else of the suite on other models.
    Without any, a suite whose scores may lie between 0 and 1 gets two rows, one for each of two published spreads, and
    another suite a row without a spread. The noise of test items is taken from the `items` of past runs of the suite, with
    the same options, on the model; without any, it is left out.
    """
    seen = seed_spreads(records)
    planned = _planned(cells)
    tables = sum(len(one.tables) for one in planned.values())
    suites = len({suite for suite, _ in planned})
    rows = []
    for (suite, model), one in planned.items():
        seeds = min(map(len, one.seeds.values()))
        arms = max(2, *map(len, one.tables.values()))
        past = _runs_of_suite(seen[suite, model].runs, suite, one.suite) if (suite, model) in seen else {}
        noise = item_spread(past, suite, items) if past and items else None
        for sd, df, source, guess in _spreads(seen, suite, model, one.suite):
            sizes = math.inf
            if seeds > 1 and sd is not None:
                sizes = sd * foreseen_effect(
                    arms, tables, seeds, measures=suites, items=(noise or 0) / sd**2, known_df=df, baseline=one.baseline
                )
            difference = sizes if math.isfinite(sizes) else None
            spread = None if noise is None else math.sqrt(noise)
            rows.append(Detectable(suite, model, seeds, sd, difference, source, guess, arms, tables, spread))
    return rows


def _runs_of_suite(past: PastRuns, suite: str, plugin: Any) -> PastRuns:
    """The tables of which a run has evaluated the suite with the options that are planned: another `limit` is other noise."""
    try:
        key = options_key(plugin_identity(plugin))
    except UserError:  # its data are not at hand: the plan says so elsewhere
        return {}
    records = {table: next(iter(next(iter(arms.values())).values())) for table, arms in past.items()}
    return {table: past[table] for table, one in records.items() if one.axes.suite_options_keys.get(suite) == key}


def _spreads(
    seen: dict[tuple[str, str], Spread], suite: str, model: str, plugin: Any
) -> list[tuple[float | None, float, str, bool]]:
    """Standard deviation, its degrees of freedom, where it comes from, and whether it is a guess."""
    if known := seen.get((suite, model)):
        source = f"seen in {counted_text(known.arms, 'past arm')}"
        return [(known.sd, known.df, source, known.df < SURE_DF)]
    others = [spread for (name, _), spread in seen.items() if name == suite]
    if others:
        df = sum(spread.df for spread in others)
        sd = math.sqrt(sum(spread.df * spread.sd**2 for spread in others) / df)
        source = f"seen in {counted_text(sum(spread.arms for spread in others), 'past arm')} on other models"
        return [(sd, df, source, True)]
    if has_share_scores(plugin) is False:
        return [(None, math.inf, "no past runs, and its scores have no fixed range", True)]
    return [(sd, math.inf, source, True) for sd, source in PUBLISHED]


def seed_spreads(records: Iterable[Record]) -> dict[tuple[str, str], Spread]:
    """(suite, model) -> the spread over seeds of its arms, where an arm has two seeds or more and their scores differ.

    Of two records of one arm and seed the later counts. What the arms of a table share under a seed is taken out, as
    verdicts are free of it.
    """
    # (suite, model) -> table -> arm -> seed -> record
    runs: dict[tuple[str, str], dict[str, dict[str, dict[int, Record]]]] = {}
    for record in with_known_keys(list(records)):
        if record.status != "finished" or record.axes.seed is None:
            continue
        for suite in record.headline:
            table, arm = _table_and_arm(record.axes, suite, record.comparison)
            arms = runs.setdefault((suite, record.axes.model), {}).setdefault(table, {})
            arms.setdefault(arm, {})[record.axes.seed] = record
    found = {place: _pooled(tables, place[0]) for place, tables in runs.items()}
    return {place: spread for place, spread in found.items() if spread.sd > 0}


def _pooled(tables: PastRuns, suite: str) -> Spread:
    rows = [
        {seed: record.headline[suite] for seed, record in by_seed.items()}
        for arms in tables.values()
        for by_seed in arms.values()
    ]
    seeds = sorted({seed for by_seed in rows for seed in by_seed})
    number = np.repeat(np.arange(len(tables)), [len(arms) for arms in tables.values()])
    matrix = np.array([[by_seed.get(seed, math.nan) for seed in seeds] for by_seed in rows])
    variance, df = own_spread(matrix, number, np.ones(len(rows)))
    total = float(df.sum())
    # Of scores that differ by rounding only, nothing is known.
    same = np.nanmax(matrix) - np.nanmin(matrix) < 1e-12
    sd = 0.0 if same or not total else math.sqrt(float(np.nansum(variance * df)) / total)
    return Spread(sd if sd > 1e-12 else 0.0, total, int((df > 0).sum()), tables)


def _table_and_arm(axes: Axes, suite: str, comparison: str) -> tuple[str, str]:
    """Hashes of the table in which a run stands, and of its arm there; older records have no `selector_key`."""
    own = {"suite": axes.suite_keys.get(suite), **dict.fromkeys((*_LEFT_OUT, "selector_key"))}
    table = digest([comparison, {**axes.plain(), **own, **dict.fromkeys(_ARM_AXES)}])
    return table, digest([comparison, {**axes.plain(), **own}])


def _planned(cells: Sequence[Cell]) -> dict[tuple[str, str], _Planned]:
    """(suite, model) -> what is planned, over the arms that are fine-tuned; those without a budget are no part of tables."""
    found: dict[tuple[str, str], _Planned] = {}
    budgets = any(run_axes(cell.run).budget is not None for cell in cells)
    for cell in cells:
        axes = run_axes(cell.run)
        if axes.seed is None:
            continue
        settings = {name: value for name, value in cell.run.resolved.items() if name not in ("seed", *without_effect())}
        arm = digest(settings)
        table = digest({name: value for name, value in settings.items() if name not in _ARM_SETTINGS})
        for suite, plugin in cell.run.suites.items():
            one = found.setdefault((suite, cell.run.model.name), _Planned(plugin))
            one.seeds[arm].add(cell.run.seed)
            if axes.budget is not None or not budgets:
                one.tables[table].add(arm)
                one.baseline |= axes.selector == BASELINE
    return {place: one for place, one in found.items() if one.tables}
