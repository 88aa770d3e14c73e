"""Uniform random selection: the arm that every method has to beat."""

from typing import Literal

import numpy as np

from selbench.api import Budget, Context, Pool, Selection, selector


@selector(
    "random", stochastic=True, nested=True, uses_scorer=False, paper="Ivison et al. 2025, arXiv 2503.01807 (balanced)"
)
class Random:
    """Uniform selection without replacement.

    From the README of RDS+ (Ivison et al. 2025): `balanced` gives every source the same number of examples; what a
    source is too small for goes to the others in equal parts.
    Ours: `balanced=category`, and the order: groups take turns, so that every prefix is balanced as well.

    Options:
        balanced: no, or source or category: equally many examples of each source or category.
    """

    balanced: Literal["no", "source", "category"] = "no"

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        # One permutation for both cases: a prefix of it is the selection, so smaller budgets are prefixes of larger ones.
        order = context.rng.permutation(len(pool))
        if self.balanced == "no":
            return Selection.ordered(order, budget)
        names = np.array([getattr(pool[i], self.balanced) for i in order])
        _, first, group = np.unique(names, return_index=True, return_inverse=True)
        turn = np.zeros(len(pool), np.int64)
        for members in (np.flatnonzero(group == g) for g in range(len(first))):
            turn[members] = np.arange(len(members))
        # Within a turn, groups stand in the random order of their first examples: no group is favoured at the cut.
        return Selection.ordered(order[np.lexsort((first[group], turn))], budget)
