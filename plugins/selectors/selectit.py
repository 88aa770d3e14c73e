"""How sure a model is of its ratings, and how well it agrees with itself (SelectIT)."""

from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
from selbench_plugins.selectors._ranking import ranked_without
from selbench_plugins.selectors._rated import Rated, written_scores

from selbench.api import Budget, Context, Pool, Selection, UserError, selector
from selbench.features.ratings import DigitLogits, digit_shares
from selbench.hashing import file_hash

Level = Literal["token", "sentence"]
Probabilities = Literal["softmax", "share"]

# Our wordings of one question, as the paper asks for; the official ones can be given with `prompts`.
WORDINGS = (
    "Give the assistant a score from 1 to 5 for how accurately it follows the instruction. Write the score alone.",
    "On a scale from 1 to 5, how correct is the assistant's response to the instruction? Answer with the number only.",
    "Rate how precisely the response fulfils the task, with 5 for the most precise and 1 for the least. One number.",
    "Judge the assistant by the correctness of its response to the instruction and write a rating between 1 and 5.",
    "Assess how well the response keeps to the instruction and how accurate it is: a single score of 1, 2, 3, 4 or 5.",
)


@selector(
    "selectit",
    nested=True,
    may_stop_short=True,
    paper="Liu et al. 2024, arXiv 2402.16705 (NeurIPS 2024)",
    fidelity="formulas of the paper; our wordings of the rating prompts; without the model level",
)
class SelectIt(Rated):
    """The highest self-rating, weighted by how sure the scorer is of it and how little it depends on the wording.

    From the paper: token and sentence level (docs/methods/scores.md gives the formulas), five rating prompts, digits 1 to 5.
    Ours: the wordings; the digits are those of any tokenizer. The model level, which weighs several models, is not built.

    Options:
        level: sentence = all rating prompts, less where they disagree; token = the first one alone.
        alpha: for sentence: how much a standard deviation over the prompts takes off.
        probabilities: softmax = of the digits' shares, as in the paper; share = the shares themselves, as the official code
            computes it.
        prompts: a file with rating prompts of your own, one a line (the first five are used).
        column: the column of scores in a file of them (option scores); empty for the only one that holds numbers.
    """

    level: Level = "sentence"
    alpha: float = 0.2
    probabilities: Probabilities = "softmax"
    prompts: Optional[str] = None  # noqa: UP045 (OmegaConf on Python 3.10 wants typing's spelling)
    column: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha >= 0:
            raise UserError(f"option 'alpha' of 'selectit': {self.alpha} must be 0 or more.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: scores from a file."""
        return written_scores(folder, score=(0.0, 1.0))

    @property
    def columns(self) -> list[str]:
        return [self.column]

    def identity(self) -> dict[str, Any]:
        """The options, with the content of files in place of their names."""
        return {**super().identity(), "prompts": file_hash(Path(self.prompts).expanduser()) if self.prompts else None}

    def check(self) -> None:
        """Raises UserError for a file that is missing or cannot be read."""
        super().check()
        self._wordings()

    def questions(self) -> list[DigitLogits]:
        wordings = self._wordings() if self.level == "sentence" else self._wordings()[:1]
        # The official text, of which each line break counts.
        after = "\nInstruction:{question}\nResponse:{response}\nThe answer is: \n"
        return [DigitLogits(wording + after, 1, 5, self.chat) for wording in wordings]

    def _wordings(self) -> list[str]:
        if not self.prompts:
            return list(WORDINGS)
        try:
            lines = Path(self.prompts).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"selector.selectit.prompts={self.prompts} cannot be read: {error}.") from error
        found = [line for line in lines if line.strip()][: len(WORDINGS)]
        if not found:
            raise UserError(f"selector.selectit.prompts={self.prompts} holds no rating prompt: write one a line.")
        return found

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        if self.files:
            scores = self.scores_of_file(pool.ids, self.column, context)
        else:
            shares = [digit_shares(context.features(question)["logits"]) for question in self.questions()]
            tokens = [token_score(each, self.probabilities) for each in shares]
            scores = sentence_score(np.array(tokens), self.alpha) if self.level == "sentence" else tokens[0]
        return ranked_without("selectit", scores, {"not rated": np.isnan(scores)}, budget, context)


def token_score(shares: np.ndarray, probabilities: Probabilities = "softmax") -> np.ndarray:
    """Best digit times how far its probability is above the others', on average: N numbers from N x 5 shares of the digits."""
    values = np.exp(shares) / np.exp(shares).sum(axis=1, keepdims=True) if probabilities == "softmax" else shares
    best = values.max(axis=1, keepdims=True)
    score: np.ndarray = (1 + values.argmax(axis=1)) * (best - values).sum(axis=1) / (values.shape[1] - 1)
    return score


def sentence_score(tokens: np.ndarray, alpha: float) -> np.ndarray:
    """Mean by 1 + alpha x standard deviation over the prompts: N numbers from K x N token scores."""
    score: np.ndarray = tokens.mean(axis=0) / (1 + alpha * tokens.std(axis=0))
    return score
