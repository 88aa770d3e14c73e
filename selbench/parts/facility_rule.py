"""The rule `facility_location`: a selection to which every example of the pool is similar."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.facility_location import Located, Similarity, facility_location
from selbench.optimize.nearest import Index
from selbench.parts.part import Rule, View, rule


@rule("facility_location")
class FacilityLocationRule(Rule):
    """Greedy maximum of the sum over all examples of the similarity to the nearest selected one.

    Options:
        similarity: cosine (below 0 counts as 0), or euclidean: 1 / (1 + distance).
        neighbours: how many nearest neighbours an example is similar to; 0 is all; null is all in pools up to 16,384 examples,
            256 in larger ones.
        index: how neighbours are searched: exact, or approximately by ivf or hnsw; the recall is in the record.
    """

    takes: ClassVar[View] = "vectors"

    similarity: Similarity = "cosine"
    neighbours: Optional[int] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    index: Index = "exact"

    def __post_init__(self) -> None:
        if self.neighbours is not None and self.neighbours < 0:
            raise UserError(
                f"neighbours={self.neighbours}: valid are 0 (all) or the number of neighbours of each example."
            )

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        found = facility_location(
            space.vectors(pool, context),
            budget.limit,
            costs=budget.costs,
            similarity=self.similarity,
            neighbours=self.neighbours,
            index=self.index,
        )
        return located_selection(found, pool, context)


def located_selection(found: Located, pool: Pool, context: Context) -> Selection:
    """The selection of a greedy over similarities, with the neighbours and their recall logged."""
    if found.neighbours:
        context.log(neighbours=found.neighbours, neighbour_recall=found.recall)
    return Selection(
        tuple(pool.ids[i] for i in found.order),
        scores=found.values,
        diagnostics={"gains": found.gains, "neighbours": found.neighbours, "neighbour_recall": found.recall},
    )
