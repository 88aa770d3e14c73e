"""The rule `quality_diversity`: facility location mixed with scores of quality (QDIT)."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.errors import UserError
from selbench.optimize.facility_location import Similarity, facility_location
from selbench.optimize.nearest import Index
from selbench.parts.facility_rule import located_selection
from selbench.parts.part import Rule, View, rule
from selbench.parts.walking_order import SCORES, ScoresOption


@rule("quality_diversity")
class QualityDiversity(ScoresOption, Rule):
    """Greedy by (1 - alpha) * facility-location gain + alpha * quality, both from 0 to 1.

    The gain is divided by the largest gain of a first pick, the quality is scaled from the pool's least (0) to its most (1).

    Options:
        alpha: the share of quality: 0 is facility location, 1 the best scores.
        similarity: cosine (below 0 counts as 0), or euclidean: 1 / (1 + distance).
        neighbours: how many nearest neighbours an example is similar to; 0 is all; null is all in pools up to 16,384 examples,
            256 in larger ones.
        index: how neighbours are searched: exact, or approximately by ivf or hnsw; the recall is in the record.
    """

    takes: ClassVar[View] = "vectors"

    alpha: float = 0.5
    similarity: Similarity = "cosine"
    neighbours: Optional[int] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    index: Index = "exact"

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UserError(f"alpha={self.alpha} is no share of quality: it must be from 0 to 1.")
        if self.neighbours is not None and self.neighbours < 0:
            raise UserError(
                f"neighbours={self.neighbours}: valid are 0 (all) or the number of neighbours of each example."
            )

    def check(self) -> None:
        """Raises UserError without a file of scores, or if it cannot be read."""
        if not self.scores:
            raise UserError(
                f"'{self.plugin_name}' mixes diversity with quality: name a file of scores with {SCORES}=FILE."
            )
        self._by_id()

    def choose(self, space: Any, pool: Pool, budget: Budget, context: Context) -> Selection:
        quality = self.scores_of(pool)
        reach = np.ptp(quality)
        found = facility_location(
            space.vectors(pool, context),
            budget.limit,
            costs=budget.costs,
            similarity=self.similarity,
            neighbours=self.neighbours,
            index=self.index,
            bonus=(quality - quality.min()) / reach if reach else np.zeros(len(pool)),
            alpha=self.alpha,
        )
        return located_selection(found, pool, context)
