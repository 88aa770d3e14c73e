"""The rule `semantic_duplicates`: SemDeDup, to an eps or to the budget."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.kmeans import spherical_clusters
from selbench.optimize.semantic_duplicates import duplicate_cosines
from selbench.parts.part import Rule, View, rule

EXAMPLES_A_CLUSTER = 1000  # where the number of clusters is not named


@rule("semantic_duplicates")
class SemanticDuplicates(Rule):
    """Examples are left out that resemble an earlier one of their k-means cluster, the most similar first.

    Options:
        eps: an example is a duplicate if its cosine to an earlier one of its cluster is above 1 - eps; what is left may be less
            than the budget. null: the eps that leaves exactly the budget.
        clusters: how many k-means clusters; null is one for every 1,000 examples.
    """

    takes: ClassVar[View] = "vectors"
    is_random = True  # the first centres

    eps: Optional[float] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    clusters: Optional[int] = None  # noqa: UP045

    def __post_init__(self) -> None:
        require_clusters(self.clusters)
        if self.eps is not None and not 0 <= self.eps <= 2:
            raise UserError(f"eps={self.eps} is no distance by cosine: it must be from 0 to 2.")

    @property
    def stops_short(self) -> bool:  # type: ignore[override]
        return self.eps is not None

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        points = space.vectors(pool, context)
        cosine = duplicate_cosines(
            points, spherical_clusters(points, number_of_clusters(self.clusters, pool), context.seed)
        )
        order = np.argsort(cosine, kind="stable")
        if self.eps is not None:
            order = order[: int((cosine <= 1 - self.eps).sum())]
            context.log(semantic_duplicates=len(pool) - len(order))
        found = Selection.ordered(order, budget, scores=-cosine)
        if len(found.ids):  # all whose cosine is at most that of the last one taken are kept
            context.log(eps=1 + float(found.scores[-1]) if self.eps is None else self.eps)  # type: ignore[index]
        return found


def number_of_clusters(named: int | None, pool: Pool) -> int:
    """The clusters that are named, or one for every 1,000 examples."""
    return named or max(1, len(pool) // EXAMPLES_A_CLUSTER)


def require_clusters(named: int | None) -> None:
    """Raises UserError for fewer than 1 cluster."""
    if named is not None and named < 1:
        raise UserError(f"clusters={named}: there must be at least 1.")
