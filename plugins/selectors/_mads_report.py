"""What MADS says of its tags: how many neurons are ever on, and how many examples are left without a tag."""

from __future__ import annotations

import logging

import numpy as np

from selbench.api import Context
from selbench.features.cut import TOLD

log = logging.getLogger("selbench")

FEW_NEURONS = 0.5  # a smaller share of neurons that are ever on is warned of


def log_tag_use(df: np.ndarray, kept: np.ndarray, tags_per_example: np.ndarray, context: Context) -> None:
    """Log how many neurons are read, ever on and kept, and how many examples carry none of the kept tags.

    Warns where more than TOLD of the examples carry none, and where less than FEW_NEURONS of the neurons are ever on.

    Args:
        df: one number per neuron of the layers read: the examples in which it is on.
        kept: booleans, the neurons that `max_df` keeps.
        tags_per_example: N numbers of kept tags.
    """
    read, on, used = len(df), int((df > 0).sum()), int(((df > 0) & kept).sum())
    bare = int((tags_per_example == 0).sum())
    context.log(neurons=read, neurons_on=on, neurons_kept=used, untagged_examples=bare)
    if (share := bare / len(tags_per_example)) > TOLD:
        log.warning(
            f"mads: {bare:,} of {len(tags_per_example):,} examples ({100 * share:.0f} %) carry "
            "no tag: none of their neurons is strongly activated, so they add nothing and are selected after all others. "
            "A lower threshold (selector.rho, tau or top_m) or more layers give them tags."
        )
    if on < FEW_NEURONS * read:
        log.warning(
            f"mads: only {on:,} of {read:,} neurons are strongly activated by any example"
            f"{'' if used == on else f' ({used:,} are left after max_df)'}: coverage is over few tags. "
            "selector.threshold=top_m, or more layers, use more."
        )
