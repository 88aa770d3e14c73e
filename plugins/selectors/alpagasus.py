"""Examples that a judge rates highly (AlpaGasus)."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from selbench_plugins.selectors._ranking import ranked_without
from selbench_plugins.selectors._rated import Rated, written_scores

from selbench.api import Budget, Context, Pool, Selection, UserError, selector
from selbench.features.ratings import DigitLogits, expected_digit

# The prompt of AlpaGasus (paper, figure of the prompt; gpt4life/alpagasus), system prompt first.
PROMPT = (
    "We would like to request your feedback on the performance of AI assistant in response to the instruction and the given "
    "input displayed following.\n\n###Instruction:\n{{instruction}}\n\n### Input:\n{{input}}\n\n### Response:\n{{response}}\n\n"
    "Please rate according to the {aspect} of the response to the instruction and the input. Each assistant receives a score "
    "on a scale of 0 to 5, where a higher score indicates higher level of the {aspect}. Please first output a single line "
    "containing value indicating the scores. In the subsequent line, please provide a comprehensive explanation of your "
    "evaluation, avoiding any potential bias. \n\n"
)


@selector(
    "alpagasus",
    nested=True,
    may_stop_short=True,
    paper="Chen et al. 2023, arXiv 2307.08701 (ICLR 2024)",
    fidelity="prompt and threshold of the paper; a local judge's mean rating in place of ChatGPT's answer",
)
class Alpagasus(Rated):
    """The examples with a rating of at least 4.5 of 5, highest first.

    From the paper: the prompt, the scale, and the threshold (9,000 of Alpaca's 52,000 with ChatGPT as judge).
    Ours: ratings from a file; or of a local judge, the mean of the digits 0 to 5 under its next-token probabilities, as in DEITA.
    See docs/methods/scores.md.

    Options:
        keep: examples with a lower rating are left out.
        rule: threshold (see keep), or top: the highest ratings, whatever they are.
        aspect: for a judge: what it rates.
        column: the column of ratings in the file; empty for the only one that holds numbers.
    """

    keep: float = 4.5
    rule: Literal["threshold", "top"] = "threshold"
    aspect: Literal["accuracy", "helpfulness"] = "accuracy"
    column: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.keep):
            raise UserError(f"option 'keep' of 'alpagasus': {self.keep} is no rating.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: ratings from a file."""
        return {**written_scores(folder, score=(0.0, 5.0)), "keep": 2.0}

    @property
    def columns(self) -> list[str]:
        return [self.column]

    def questions(self) -> list[DigitLogits]:
        return [DigitLogits(PROMPT.format(aspect=self.aspect), 0, 5, self.chat)]

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        if self.files:
            ratings = self.scores_of_file(pool.ids, self.column, context)
        else:
            ratings = expected_digit(context.features(self.questions()[0])["logits"], 0)
        left_out = {"not rated": np.isnan(ratings)}
        if self.rule == "threshold":
            left_out[f"rated below {self.keep:g}"] = ~(ratings >= self.keep)
        return ranked_without("alpagasus", ratings, left_out, budget, context)
