"""The rule `by_score`: the highest, the middle or the lowest scores."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.parts.part import Rule, View, rule


@rule("by_score")
class ByScore(Rule):
    """Examples by their scores; ties go to the example earlier in the pool.

    Options:
        take: top (the highest), bottom (the lowest), or middle (those whose ranks are nearest to the median's: of N ascending
            scores the places (N - k) / 2 to (N + k) / 2 for k examples).
    """

    takes: ClassVar[View] = "scores"

    take: Literal["top", "middle", "bottom"] = "top"

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        scores = np.asarray(space.scores(pool, context), np.float64)
        if self.take == "top":
            return Selection.ranked(scores, budget)
        ascending = np.argsort(scores, kind="stable")
        if self.take == "middle":
            apart = np.abs(np.arange(len(pool)) - (len(pool) - 1) / 2)
            ascending = ascending[np.argsort(apart, kind="stable")]
        return Selection.ordered(ascending, budget, scores=scores)
