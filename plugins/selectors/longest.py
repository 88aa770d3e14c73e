"""The longest responses."""

from typing import Literal

import numpy as np

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, selector
from selbench.features.lengths import ResponseLength


@selector(
    "longest",
    nested=True,
    paper="Zhao et al. 2024, arXiv 2402.04833 (ICML 2024)",
    fidelity="from the paper; compared with its published selection",
)
class Longest:
    """Longest responses first: the baseline for methods whose scores correlate with length.

    From the paper: the score is the number of tokens of the response under the target model's tokenizer.
    Ours: the tokenizer is the scorer's (the target model's own unless another scorer is named), all assistant turns of
    a conversation count, and ties go to the example earlier in the pool.

    Options:
        unit: what length is counted in: tokens, or characters (no tokenizer is loaded).
    """

    unit: Literal["tokens", "characters"] = "tokens"

    def __post_init__(self) -> None:
        self.uses_scorer = self.unit == "tokens"

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [ResponseLength()] if self.unit == "tokens" else []

    def likely_ranking(self, pool: Pool, response_tokens: np.ndarray) -> np.ndarray:
        """The positions of the examples, longest response first, by estimated lengths: for `selbench plan`."""
        lengths = response_tokens if self.unit == "tokens" else np.asarray(_characters(pool))
        return np.argsort(-lengths, kind="stable")

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        if self.unit == "tokens":
            return Selection.ranked(context.features(ResponseLength())["tokens"], budget)
        return Selection.ranked(_characters(pool), budget)


def _characters(pool: Pool) -> list[int]:
    """N integers: the characters of all answers of each example."""
    return [sum(len(answer) for _, answer in example.history) + len(example.response) for example in pool]
