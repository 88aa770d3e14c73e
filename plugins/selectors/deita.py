"""Complexity times quality (DEITA)."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from selbench_plugins.selectors._ranking import ranked_without
from selbench_plugins.selectors._rated import Rated, written_scores

from selbench.api import Budget, Context, Pool, Selection, selector
from selbench.features.ratings import DigitLogits, expected_digit

# The prompts of DEITA's scorers (hkust-nlp/deita, Apache-2.0), which were trained on them: each blank counts.
COMPLEXITY = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: {question}  \n##Complexity: "
)
QUALITY = (
    "You are a helpful assistant. Please identify the quality score of the Response corresponding to the Question. \n"
    " #Question#:\n{question}\n#Response#:\n{response} \n##Quality: "
)


@selector(
    "deita",
    nested=True,
    may_stop_short=True,
    paper="Liu et al. 2023, arXiv 2312.15685 (ICLR 2024)",
    fidelity="scores of the official code; without the representation filter",
)
class Deita(Rated):
    """The highest product of complexity and quality, summed over turns.

    From the official code (hkust-nlp/deita): the prompts; a score is the mean of the digits 1 to 6 under the judge's next-token
    probabilities; the product is summed over the turns of a conversation.
    Ours: one judge, the scorer, gives both (DEITA's are two, tuned for it); or both come from a file. The representation filter
    that follows in the paper is not part of this selector. See docs/methods/scores.md.

    Options:
        by: what is ranked by: product, or complexity or quality alone.
        complexity, quality: the column of these scores in the file.
    """

    by: Literal["product", "complexity", "quality"] = "product"
    complexity: str = "complexity"
    quality: str = "quality"

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: scores from a file."""
        return written_scores(folder, complexity=(1.0, 6.0), quality=(1.0, 6.0))

    @property
    def columns(self) -> list[str]:
        named = {"complexity": self.complexity, "quality": self.quality}
        return list(named.values()) if self.by == "product" else [named[self.by]]

    def questions(self) -> list[DigitLogits]:
        asked = {"complexity": COMPLEXITY, "quality": QUALITY}
        names = asked if self.by == "product" else [self.by]
        return [DigitLogits(asked[name], 1, 6, self.chat, every_turn=True) for name in names]

    def scores_of(self, pool: Pool, context: Context) -> np.ndarray:
        """N scores; NaN for an example that the judge could not read to its end."""
        if self.files:
            found = [self.scores_of_file(pool.ids, column, context) for column in self.columns]
            products: np.ndarray = np.prod(found, axis=0)
            return products
        features = [context.features(question) for question in self.questions()]
        of_turns = np.prod([expected_digit(feature["logits"], 1) for feature in features], axis=0)
        sums: np.ndarray = np.add.reduceat(of_turns, features[0]["indptr"][:-1])  # each example has a turn
        return sums

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        scores = self.scores_of(pool, context)
        return ranked_without("deita", scores, {"not rated": np.isnan(scores)}, budget, context)
