"""Instruction-following difficulty by the ratio of losses (Cherry LLM)."""

from typing import Optional

from selbench_plugins.selectors._loss_ratio import loss_ratio, mean_losses
from selbench_plugins.selectors._ranking import ranked_without

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, UserError, selector
from selbench.features.losses import ResponseLosses


@selector(
    "ifd",
    nested=True,
    may_stop_short=True,
    paper="Li et al. 2023, arXiv 2308.12032 (NAACL 2024)",
    fidelity="formula and filters of the official code; the scorer's own template",
)
class Ifd:
    """Hard to follow, but helped by the prompt: the highest ratio of losses that is at most 1.

    From the official code (tianyi-lab/Cherry_LLM): the mean loss of the response given the prompt, by that of the response after
    the response marker alone; a ratio above 1, an empty response and a text longer than `max_length` are left out.
    Ours: the scorer's own template in place of Alpaca's, and no scorer that is first trained on a thousand examples (the
    official second version does without as well). See docs/methods/scores.md.

    Options:
        max_length: tokens of prompt and response; longer examples are left out. Official: 512 (Alpaca) and 1,024 (WizardLM).
            Null: what the scorer reads.
    """

    max_length: Optional[int] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise UserError(
                f"option 'max_length' of 'ifd': {self.max_length} is no length: it must be at least 1 token."
            )

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [self._conditioned, self._direct]

    @property
    def _conditioned(self) -> ResponseLosses:
        return ResponseLosses("conversation", max_length=self.max_length)

    @property
    def _direct(self) -> ResponseLosses:
        return ResponseLosses("marked_response", max_length=self.max_length)

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        conditioned, direct, invalid = mean_losses(self._conditioned, self._direct, context)
        ratio = loss_ratio(conditioned, direct)
        invalid["ratio above 1"] = ~(ratio <= 1)
        return ranked_without("ifd", ratio, invalid, budget, context)
