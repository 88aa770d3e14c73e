"""The rule `prototypes`: D4, which leaves out semantic duplicates and then the examples nearest to cluster centres."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.kmeans import spherical_clusters
from selbench.optimize.semantic_duplicates import duplicate_cosines
from selbench.parts.duplicates_rule import number_of_clusters, require_clusters
from selbench.parts.part import Rule, View, rule


@rule("prototypes")
class Prototypes(Rule):
    """Semantic duplicates are left out down to a share of the pool; of the rest, clustered again, the most prototypical.

    The examples farthest from the centres of their clusters are taken first. A budget above that share of the pool gets the
    least similar of the duplicates after them.

    Options:
        deduplicated: the share of the pool that is left after semantic duplicates are left out.
        clusters: how many k-means clusters, both times; null is one for every 1,000 examples.
    """

    takes: ClassVar[View] = "vectors"
    is_random = True  # the first centres

    deduplicated: float = 0.75
    clusters: Optional[int] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)

    def __post_init__(self) -> None:
        require_clusters(self.clusters)
        if not 0 < self.deduplicated <= 1:
            raise UserError(f"deduplicated={self.deduplicated} is no share of the pool: above 0 and at most 1.")

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        points = space.vectors(pool, context)
        count = number_of_clusters(self.clusters, pool)
        cosine = duplicate_cosines(points, spherical_clusters(points, count, context.seed))
        by_cosine = np.argsort(cosine, kind="stable")
        left = max(1, int(np.floor(round(self.deduplicated * len(pool), 9))))
        kept, duplicates = np.sort(by_cosine[:left]), by_cosine[left:]
        again = spherical_clusters(points[kept], count, context.seed)
        far_first = kept[np.argsort(again.cosine, kind="stable")]
        return Selection.ordered(np.concatenate([far_first, duplicates]), budget)
