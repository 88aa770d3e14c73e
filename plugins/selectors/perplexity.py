"""The perplexity of each example under the scorer: the highest, the middle or the lowest."""

from typing import Literal

import numpy as np
from selbench_plugins.selectors._ranking import in_order

from selbench.api import Budget, Context, FeatureSpec, Pool, Selection, selector
from selbench.features.losses import ResponseLosses, mean_loss


@selector(
    "perplexity",
    nested=True,
    may_stop_short=True,
    paper="Yin & Rush 2024, arXiv 2410.16208; as used by Ivison et al. 2025 (RDS+), arXiv 2503.01807",
    fidelity="score of RDS+'s official code; the middle is our reading",
)
class Perplexity:
    """Examples by how well the scorer predicts them.

    From RDS+'s code: the mean loss of the whole text, prompt and template included; the highest first (top).
    Ours: the window of `middle`, as the code that cuts it is not public; the lowest first (low); the response alone; and the
    scorer's own template. See docs/methods/scores.md.

    Options:
        which: top = the highest perplexity first, low = the lowest first, middle = k of N at the positions (N-k)/2 to (N+k)/2 of
            the ascending order.
        over: the tokens that count: whole = all of prompt and response, template included; response = those of the response,
            given the prompt.
    """

    which: Literal["top", "middle", "low"] = "top"
    over: Literal["whole", "response"] = "whole"

    def needs(self, seed: int = 0) -> list[FeatureSpec]:
        return [ResponseLosses()]

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        loss = mean_loss(context.features(ResponseLosses()), self.over)
        without = {"no token predicted": np.isnan(loss)}
        known = np.flatnonzero(~np.isnan(loss))
        # Ties go to the lower position in both directions.
        ascending, descending = (known[np.argsort(sign * loss[known], kind="stable")] for sign in (1, -1))
        order = {"low": ascending, "top": descending, "middle": ascending[middle_out(len(known))]}[self.which]
        return in_order(order, "perplexity", loss, without, budget, context, ranked=self.which != "middle")


def middle_out(count: int) -> np.ndarray:
    """The positions of `count` sorted values such that the first k are the window from (count-k)/2 on, rounded down.

    One order serves all k: the window of k + 1 is that of k and one more position, on the left or on the right.
    """
    sizes = np.arange(1, count + 1)
    starts = (count - sizes) // 2
    to_the_left = np.diff(starts, prepend=count // 2 if count % 2 else count // 2 - 1) < 0
    order: np.ndarray = np.where(to_the_left, starts, starts + sizes - 1)
    return order
