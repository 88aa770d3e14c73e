"""The rule `tag_cover`: InsTag's complexity-first diverse sampling."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.optimize.coverage import coverage_curve
from selbench.optimize.simscale import threshold_walk
from selbench.parts.part import Rule, View, rule


@rule("tag_cover")
class TagCover(Rule):
    """Walk the examples from most tags to fewest, and take each that adds a tag; then walk the rest again, with none covered.

    Examples without tags come last.
    """

    takes: ClassVar[View] = "tags"

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        rows = space.tags(pool, context)
        sizes = np.diff(rows.indptr)
        found = threshold_walk(
            rows.indptr,
            rows.indices,
            rows.tags,
            budget.limit,
            order=np.argsort(-sizes, kind="stable"),
            ratio=1.0,
            costs=budget.costs,
        )
        curve = coverage_curve(rows.indptr, rows.indices, found.order)
        return Selection.ordered(
            found.order, budget, scores=sizes.astype(np.float64), passes=found.passes, coverage=curve
        )
