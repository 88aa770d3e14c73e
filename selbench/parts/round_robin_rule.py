"""The rule `round_robin`: the tags take turns."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.optimize.kmeans import members_of, round_robin
from selbench.parts.part import Rule, View, rule


@rule("round_robin")
class RoundRobin(Rule):
    """Every tag in turn, the rarest first, takes its example with the most tags that is not taken yet.

    Examples without tags come last.
    """

    takes: ClassVar[View] = "tags"

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        rows = space.tags(pool, context)
        sizes = np.diff(rows.indptr)
        owner = np.repeat(np.arange(len(pool)), sizes)
        members = [owner[places] for places in members_of(rows.indices, rows.tags)]
        rankings = [some[np.argsort(-sizes[some], kind="stable")] for some in members if len(some)]
        rankings.sort(key=len)
        order, _ = round_robin(rankings, budget.limit, budget.costs)
        bare = np.flatnonzero(sizes == 0)
        whole = np.concatenate([order, bare]) if len(order) + len(bare) == len(pool) else order
        return Selection.ordered(whole, budget, scores=sizes.astype(np.float64))
