"""Instruction-following difficulty by the ratio of perplexities under a small model (Superfiltering)."""

from selbench_plugins.selectors._loss_ratio import mean_losses, perplexity_ratio
from selbench_plugins.selectors._ranking import ranked_without

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, UserError, selector
from selbench.features.losses import ResponseLosses


@selector(
    "superfilter",
    nested=True,
    may_stop_short=True,
    paper="Li et al. 2024, arXiv 2402.00530 (ACL 2024)",
    fidelity="formula and filters of the official code; the scorer is yours to name",
)
class Superfilter:
    """The highest ratio of perplexities that is below 1, under a small scorer.

    From the official code (tianyi-lab/Superfiltering): the perplexity of the response given the prompt, by that of the response
    alone, whose first token nothing predicts; no chat template, but a line each; a ratio of 1 or more is left out, and an empty
    response. The official scorer is GPT-2 with 124M parameters: scorer=gpt2.
    Ours: an example of which a part of the response does not fit is left out (official: both texts are cut). See
    docs/methods/scores.md.

    Options:
        max_length: tokens of prompt and response that are read at most; the scorer may read less.
    """

    max_length: int = 1024

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise UserError(
                f"option 'max_length' of 'superfilter': {self.max_length} is no length: it must be at least 1 token."
            )

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [self._conditioned, self._direct]

    @property
    def _conditioned(self) -> ResponseLosses:
        return ResponseLosses("conversation", "none", self.max_length)

    @property
    def _direct(self) -> ResponseLosses:
        return ResponseLosses("response", "none", self.max_length)

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        conditioned, direct, invalid = mean_losses(self._conditioned, self._direct, context)
        ratio = perplexity_ratio(conditioned, direct)
        invalid["ratio not below 1"] = ~(ratio < 1)
        return ranked_without("superfilter", ratio, invalid, budget, context)
