"""Uniform random selection: the arm that every method has to beat."""

from typing import Literal

import numpy as np

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("random", stochastic=True, uses_scorer=False, paper="Ivison et al. 2025, arXiv 2503.01807 (balanced)")
class Random:
    """Uniform without replacement.

    From RDS+ (its README): `balanced` gives every source the same number of examples, and shares what an exhausted
    source leaves over equally among the others.
    Ours: `balanced=category`, and the order: groups take turns, so that every prefix is balanced as well.

    Options:
        balanced: no, or by the `source` or the `category` of the examples.
    """

    balanced: Literal["no", "source", "category"] = "no"

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        order = context.rng.permutation(len(pool))
        if self.balanced == "no":
            return Selection.ordered(order, budget)
        names = np.array([getattr(pool[i], self.balanced) for i in order])
        _, first, group = np.unique(names, return_index=True, return_inverse=True)
        turn = np.zeros(len(pool), np.int64)
        for members in (np.flatnonzero(group == g) for g in range(len(first))):
            turn[members] = np.arange(len(members))
        # Within a turn the groups follow each other in the random order of their first examples.
        return Selection.ordered(order[np.lexsort((first[group], turn))], budget)
