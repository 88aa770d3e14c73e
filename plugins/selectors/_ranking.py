"""Rankings by scores of which some examples have none, or none that counts."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

import numpy as np

from selbench.api import Budget, Context, Selection

log = logging.getLogger("selbench")


def ranked_without(
    name: str, scores: np.ndarray, left_out: Mapping[str, np.ndarray], budget: Budget, context: Context
) -> Selection:
    """The highest scores first, without the examples that are left out: fewer than the budget where no more are left.

    Ties go to the lower position. How many are left out is logged for each reason, and told of.

    Args:
        name: the selector's, for the message.
        scores: N numbers.
        left_out: why examples are left out, in a word or a few ("response cut"), with N booleans. An example counts for the
            first of its reasons.
        budget: how many are taken.
        context: where the counts are logged.
    """
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    return in_order(order, name, scores, left_out, budget, context)


def in_order(
    order: np.ndarray,
    name: str,
    scores: np.ndarray,
    left_out: Mapping[str, np.ndarray],
    budget: Budget,
    context: Context,
    ranked: bool = True,
) -> Selection:
    """The same in another order (positions in the pool, best first).

    `ranked` says that the order is one of the scores, so that the margin of a pick is how far its score is from the next.
    """
    out = np.zeros(len(scores), bool)
    counts = {}
    for reason, mask in left_out.items():
        counts[reason] = int((mask & ~out).sum())
        out |= mask
    context.log(**{f"left_out_{reason.replace(' ', '_')}": count for reason, count in counts.items()})
    if out.any():
        said = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
        log.info(f"{name} leaves out {int(out.sum()):,} of {len(scores):,} examples: {said}.")
    kept = order[~out[order]]
    found = Selection.ordered(kept, budget, scores=scores, left_out=counts)
    if not ranked:
        return found
    values = np.append(scores[kept], np.nan)
    with np.errstate(invalid="ignore"):  # of two infinite scores
        margin = np.abs(values[:-1] - values[1:])[: len(found.ids)]
    return dataclasses.replace(found, diagnostics={"margin": margin, **found.diagnostics})
