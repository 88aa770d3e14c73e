"""The smallest difference between two arms that the planned number of seeds can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from selbench.planning.demands import Cell
from selbench.planning.plan import Detectable
from selbench.run.identity import run_axes
from selbench.statistics.power import detectable_difference, pooled_spread
from selbench.store.keys import digest
from selbench.store.records import Record

# Standard deviation of a score (0 to 1) over three seeds: median and 90th percentile of the 1,000 arms on the pool Tulu-v2
# whose scores the repository of TIS holds (assets/plot_data). The scores are theirs, the two figures our analysis.
PUBLISHED = ((0.0047, "published: the median of 1,000 arms"), (0.021, "published: their 90th percentile"))


@dataclass(frozen=True)
class Spread:
    """The spread over seeds of one suite's score on one model."""

    sd: float  # standard deviation, pooled over the arms, in the metric's units
    arms: int  # that have two seeds or more


def detectables(cells: Sequence[Cell], records: Iterable[Record]) -> list[Detectable]:
    """What the planned seeds of the cells can show, by suite and model.

    The spread over seeds is taken from the past `records`. A suite and model without past runs get two rows, one for
    each of two published spreads.
    """
    seen = seed_spreads(records)
    rows = []
    for suite, model, seeds in _planned_seeds(cells):
        spread = seen.get((suite, model))
        known = (
            [(spread.sd, f"seen in {spread.arms} past arm{'s' if spread.arms > 1 else ''}")] if spread else PUBLISHED
        )
        for sd, source in known:
            difference = detectable_difference(sd, seeds)
            rows.append(Detectable(suite, model, seeds, sd, difference if math.isfinite(difference) else None, source))
    return rows


def seed_spreads(records: Iterable[Record]) -> dict[tuple[str, str], Spread]:
    """(suite, model) -> the spread over seeds of its arms, where an arm has two seeds or more and their scores differ.

    The variance is pooled: squared deviations of all arms by their degrees of freedom. Of two records of one arm and
    seed the later counts.
    """
    scores: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for record in records:
        if record.status != "finished" or record.axes.seed is None:
            continue
        for suite, value in record.headline.items():
            # An arm here is a run without its seed and other suites; `selector_key` is left out as older records have none.
            left_out = dict.fromkeys(("suites", "suite_keys", "seed", "selector_key"))
            own = {"suite": record.axes.suite_keys.get(suite), **left_out}
            arm = digest([record.comparison, {**record.axes.plain(), **own}])
            arms = scores.setdefault((suite, record.axes.model), {})
            arms.setdefault(arm, {})[record.axes.seed] = value
    found = {}
    for place, arms in scores.items():
        groups = [list(by_seed.values()) for by_seed in arms.values() if len(by_seed) > 1]
        sd, _ = pooled_spread(groups)
        if sd > 0:
            found[place] = Spread(sd, len(groups))
    return found


def _planned_seeds(cells: Sequence[Cell]) -> Iterator[tuple[str, str, int]]:
    """(suite, model, fewest seeds of any arm) over the arms that are fine-tuned."""
    seeds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for cell in cells:
        axes = run_axes(cell.run)
        if axes.seed is None:
            continue
        arm = digest({**axes.plain(), "seed": None, "trainer": cell.run.resolved.get("trainer")})
        for suite in cell.run.suites:
            seeds.setdefault((suite, cell.run.model.name), {}).setdefault(arm, set()).add(cell.run.seed)
    for (suite, model), arms in seeds.items():
        yield suite, model, min(len(values) for values in arms.values())
