"""The rule `k_center`: no example far from a selected one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.kcenter import Metric, farthest_first, medoid
from selbench.parts.part import Rule, View, rule


@rule("k_center")
class KCenterRule(Rule):
    """Farthest-first traversal: the next example is always the one farthest from all selected ones.

    Options:
        metric: the distance: cosine or euclidean.
        first: the first centre: random, medoid, or a position in the pool.
    """

    takes: ClassVar[View] = "vectors"

    metric: Metric = "cosine"
    first: str = "random"

    def __post_init__(self) -> None:
        if self.first not in ("random", "medoid") and not self.first.isdigit():
            raise UserError(
                f"option 'first' of rule 'k_center': '{self.first}' is neither random, medoid nor a position."
            )

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        return self.first == "random"

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        points = space.vectors(pool, context)
        if self.first == "random":
            first = int(context.rng.integers(len(pool)))
        else:
            first = medoid(points, self.metric) if self.first == "medoid" else int(self.first)
        found = farthest_first(points, budget.limit, costs=budget.costs, metric=self.metric, first=first)
        # The first pick is given, so it is ahead of none.
        margin = np.where(np.arange(len(found.order)) == 0, np.nan, found.margin)
        return Selection(
            tuple(pool.ids[i] for i in found.order),
            diagnostics={"first": pool.ids[first], "radius": found.radius[1:], "margin": margin},
        )
