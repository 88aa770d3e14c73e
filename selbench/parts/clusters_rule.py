"""The rule `cluster_balanced`: equally many examples of every cluster."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.kmeans import members_of, round_robin, spherical_clusters
from selbench.parts.part import Rule, View, rule
from selbench.parts.walking_order import ScoresOption


@rule("cluster_balanced")
class ClusterBalanced(ScoresOption, Rule):
    """k-means clusters take turns, so that every prefix is balanced; what a small cluster lacks goes to the others.

    Options:
        clusters: how many; at most as many as there are distinct vectors.
        within: which of a cluster's examples comes first: random, central (nearest to the cluster's centre), edge (farthest from
            it), or scores (the best of the file `scores`).
    """

    takes: ClassVar[View] = "vectors"
    is_random = True  # the first centres

    clusters: int = 100
    within: Literal["random", "central", "edge", "scores"] = "random"

    def __post_init__(self) -> None:
        if self.clusters < 1:
            raise UserError(f"clusters={self.clusters}: there must be at least 1.")
        if (self.within == "scores") != bool(self.scores):
            raise UserError("within=scores and the file scores=FILE go together: name both or neither.")

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        found = spherical_clusters(space.vectors(pool, context), self.clusters, context.seed)
        if self.within == "random":
            value = context.rng.random(len(pool))
        elif self.within == "scores":
            value = self.scores_of(pool)
        else:
            value = found.cosine * (1 if self.within == "central" else -1)
        members = members_of(found.cluster, found.clusters)
        rankings = [some[np.argsort(-value[some], kind="stable")] for some in members]
        # The largest cluster first: where the budget is smaller than the number of clusters, those are represented. Of equal
        # ones chance decides: FAISS numbers clusters by the positions of their first centres.
        turns = np.lexsort((context.rng.random(len(rankings)), np.array([-len(some) for some in rankings])))
        rankings = [rankings[number] for number in turns]
        order, by = round_robin(rankings, budget.limit, budget.costs)
        context.log(clusters=found.clusters, empty_clusters=sum(not len(some) for some in members))
        return Selection.ordered(order, budget, cluster=found.cluster[order], group=by)
