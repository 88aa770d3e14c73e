"""The rule `coverage`: greedy maximum coverage of tags."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.coverage import Objective, Weights, coverage_curve, greedy_coverage, tag_weights
from selbench.parts.part import Rule, View, rule


@rule("coverage")
class Coverage(Rule):
    """The next example is always the one that adds most to the coverage of tags.

    Options:
        objective: the value of a tag that c chosen examples have: log = log(1 + c), sqrt, set_cover = min(c, 1), m_cover =
            min(c, `m`). The last two start a new round when no example adds anything.
        m: for m_cover: how many chosen examples must have a tag before it counts as covered.
        weights: the weight of a tag that df of N examples have: one, idf = log(N / df), power = df^-`gamma`.
        gamma: for power: the exponent.
    """

    takes: ClassVar[View] = "tags"

    objective: Objective = "log"
    m: int = 3
    weights: Weights = "one"
    gamma: float = 0.5

    def __post_init__(self) -> None:
        if self.m < 1:
            raise UserError(f"m={self.m} covers nothing: m-cover needs m of at least 1.")

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        rows = space.tags(pool, context)
        df = np.bincount(rows.indices, minlength=rows.tags)
        found = greedy_coverage(
            rows.indptr,
            rows.indices,
            rows.tags,
            budget.limit,
            costs=budget.costs,
            objective=self.objective,
            m=self.m,
            weights=tag_weights(df, len(pool), self.weights, self.gamma),
        )
        curve = coverage_curve(rows.indptr, rows.indices, found.order)
        return Selection(
            tuple(pool.ids[i] for i in found.order),
            scores=found.gains,
            diagnostics={"gains": found.gains, "coverage": curve, "rounds": found.rounds},
        )
