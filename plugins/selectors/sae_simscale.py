"""SAE-SimScale: a walk down a ranking of the examples that passes over those too similar to the ones already taken."""

from __future__ import annotations

from typing import Literal

import numpy as np
from selbench_plugins.selectors._sae import FIDELITY, PAPER, SaeOptions, tag_facts

from selbench.api import Budget, Context, Pool, Selection, UserError, selector
from selbench.optimize.coverage import coverage_curve
from selbench.optimize.simscale import Similarity, threshold_walk


@selector("sae_simscale", nested=True, paper=PAPER, fidelity=FIDELITY)
class SaeSimScale(SaeOptions):
    """Examples with many features of a sparse autoencoder, passing over those whose features are mostly covered.

    arXiv 2502.14050 (Yang et al., Meta GenAI 2025), re-implemented from the abstract and public notes: no code was
    published, and we have not seen the pseudo-code. From the notes: a similarity-based variant for larger budgets.
    From memory, not confirmed: the order by number of features and the ratio 0.8. Ours: the rejected examples are
    walked again, with nothing covered, until the budget is spent; examples without a feature come last. See
    docs/methods/sae.md.

    Options:
        order: the ranking that is walked: features = by number of active features, most first; response_length = by
            response tokens, longest first. Ties go to the example earlier in the pool.
        ratio: an example is taken if its similarity to the ones taken before is below this value.
        rise: how much the ratio grows from one walk to the next (0.05, say), up to 1.
        similarity: union = the share of the example's features that are covered; pairwise = the largest Jaccard
            similarity to one example taken in the same walk.
    """

    order: Literal["features", "response_length"] = "features"
    ratio: float = 0.8
    rise: float = 0.0
    similarity: Similarity = "union"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ratio <= 1 or self.rise < 0:
            raise UserError(f"ratio={self.ratio}, rise={self.rise}: ratio is above 0 and at most 1, rise at least 0.")

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        tags = self.tags_of(context)
        indptr, indices = tags["indptr"], tags["indices"]
        value = np.diff(indptr) if self.order == "features" else tags["response_tokens"]
        walked = threshold_walk(
            indptr,
            indices,
            int(tags["shape"][1]),
            budget.limit,
            order=np.argsort(-value, kind="stable"),
            ratio=self.ratio,
            rise=self.rise,
            similarity=self.similarity,
            costs=budget.costs,
        )
        return Selection.ordered(
            walked.order,
            budget,
            scores=value.astype(np.float64),
            passes=walked.passes,
            similarity=walked.similarity,
            coverage=coverage_curve(indptr, indices, walked.order),
            **tag_facts(tags, context),
        )
