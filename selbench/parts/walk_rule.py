"""The rule `threshold_walk`: DEITA's Repr-Filter."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.threshold_walk import cosine_quantile, walk_apart
from selbench.parts.part import Rule, View, rule
from selbench.parts.walking_order import OrderOption


@rule("threshold_walk")
class ThresholdWalk(OrderOption, Rule):
    """Walk the examples in an order, and take each whose cosine to every example taken before is at most the threshold.

    It ends with fewer examples than the budget allows where the threshold leaves no more.

    Options:
        threshold: the largest cosine to a taken example.
        quantile: instead of `threshold`: the cosine that this share of all pairs of examples does not exceed, for spaces in
            which all examples are similar. Of more than 2,000 examples as many are drawn by the run's seed.
    """

    takes: ClassVar[View] = "vectors"
    stops_short = True

    threshold: float = 0.9
    quantile: Optional[float] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)

    def __post_init__(self) -> None:
        self.require_order()
        if not -1 <= self.threshold <= 1:
            raise UserError(f"threshold={self.threshold} is no cosine: it must be from -1 to 1.")
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise UserError(f"quantile={self.quantile} is no share of the pairs: it must be from 0 to 1.")

    @property
    def is_random(self) -> bool:  # type: ignore[override]
        return self.order == "random" or self.quantile is not None

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        points = space.vectors(pool, context)
        threshold = self.threshold
        if self.quantile is not None:
            threshold = cosine_quantile(points, self.quantile, context.rng)
        order, values = self.order_of(pool, context)
        found = walk_apart(points, budget.limit, order=order, threshold=threshold, costs=budget.costs)
        context.log(walk_threshold=threshold, walked=found.walked)
        return Selection.ordered(
            found.order, budget, scores=values, similarity=found.similarity, threshold=threshold, walked=found.walked
        )
