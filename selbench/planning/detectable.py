"""The smallest difference that the planned seeds can show: before the money is spent, not after."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from selbench.planning.demands import Cell
from selbench.planning.plan import Detectable
from selbench.run.identity import run_axes
from selbench.store.keys import digest

# Standard deviation over three seeds, in points of 100: median and 90th percentile of the 1,000 arms on the pool Tulu-v2
# whose scores TIS published (assets/plot_data of its repository); our own analysis.
PUBLISHED = ((0.0047, "published: the median of 1,000 arms"), (0.021, "published: their 90th percentile"))

Formula = Callable[[float, int], float]


@dataclass(frozen=True)
class Spread:
    """The standard deviation over seeds of one suite and model, pooled over `arms`, in the metric's units."""

    suite: str
    model: str
    sd: float
    arms: int


def detectables(cells: Sequence[Cell], spreads: Iterable[Spread], formula: Formula) -> list[Detectable]:
    """One row per suite and model whose spread has been seen; two, from the published spreads, where it has not."""
    seen = {(spread.suite, spread.model): spread for spread in spreads if spread.sd > 0}
    rows = []
    for suite, model, seeds in _arms(cells):
        spread = seen.get((suite, model))
        known = (
            [(spread.sd, f"seen in {spread.arms} past arm{'s' if spread.arms > 1 else ''}")] if spread else PUBLISHED
        )
        for sd, source in known:
            difference = formula(sd, seeds)
            rows.append(Detectable(suite, model, seeds, sd, difference if math.isfinite(difference) else None, source))
    return rows


def _arms(cells: Sequence[Cell]) -> Iterator[tuple[str, str, int]]:
    """(suite, model, the fewest seeds that an arm has) of the arms that are fine-tuned."""
    seeds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for cell in cells:
        axes = run_axes(cell.run)
        if axes["seed"] is None:
            continue
        arm = digest({**axes, "seed": None, "trainer": cell.run.resolved.get("trainer")})
        for suite in cell.run.suites:
            seeds.setdefault((suite, cell.run.model.name), {}).setdefault(arm, set()).add(cell.run.seed)
    for (suite, model), arms in seeds.items():
        yield suite, model, min(len(values) for values in arms.values())
