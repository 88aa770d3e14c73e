"""The threshold walk: take an item if it is not too similar to what has been taken. Compiled.

Walks all items in a given order, again and again: what one pass rejects, the next looks at afresh, until all are
taken or the budget is spent. With the union rule and a threshold of 1 it is InsTag's complexity-first diverse
sampling (arXiv 2308.07074).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown

Similarity = Literal["union", "pairwise"]
SIMILARITIES = get_args(Similarity)


@dataclass(frozen=True, eq=False)
class Walked:
    """`order` (K positions), and for each of them the pass (from 1; 0 for an item without tags) and its similarity then."""

    order: np.ndarray
    passes: np.ndarray
    similarity: np.ndarray


def threshold_walk(
    indptr: np.ndarray,
    indices: np.ndarray,
    tags: int,
    limit: int,
    *,
    order: np.ndarray,
    ratio: float = 0.8,
    rise: float = 0.0,
    similarity: Similarity = "union",
    costs: np.ndarray | None = None,
) -> Walked:
    """Items in the order in which they are taken, until the next one no longer fits.

    Args:
        indptr, indices: CSR rows: the distinct tags (0 to `tags` - 1) of each of the N items.
        order: in which a pass walks (a permutation of the N positions).
        limit, costs: what may be spent and what each item costs (N integers; ones by default).
        ratio: an item is taken if its similarity is below this (above 0, at most 1).
        rise: what the ratio grows by from one pass to the next, up to 1.
        similarity: "union": |F_i & C| / |F_i|, with C all tags taken in this pass; O(tags of all items) a pass.
            "pairwise": the largest |F_i & F_j| / |F_i | F_j| over the items j taken in this pass.

    Items without tags come last. Raises UserError for a ratio or a similarity that is not valid.
    """
    if similarity not in SIMILARITIES:
        raise UserError(unknown("similarity", similarity, SIMILARITIES))
    if not 0 < ratio <= 1 or rise < 0:
        raise UserError(
            f"ratio={ratio}, rise={rise}: valid are a ratio above 0 and at most 1, and a rise of at least 0."
        )
    prices = np.ones(len(indptr) - 1, np.int64) if costs is None else costs
    # The kernels are compiled for writable arrays; those of a cached feature are read-only, and are copied.
    pointers, sequence, prices = (np.require(a, np.int64, ["C", "W"]) for a in (indptr, order, prices))
    columns = np.require(indices, np.int32, ["C", "W"])
    from selbench.optimize.simscale_kernel import (  # compiles when imported, so only when needed
        walk_pairwise,
        walk_union,
    )

    walk = walk_union if similarity == "union" else walk_pairwise
    return Walked(*walk(pointers, columns, tags, sequence, prices, limit, ratio, rise))
