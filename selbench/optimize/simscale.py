"""The threshold walk: take an item if it is not too similar to the items taken so far. Compiled.

The items are walked in a given order. The items that one pass rejects are walked again in the next, in which nothing
counts as taken yet, until all are taken or the budget is spent. With the union similarity and a ratio of 1 this is
InsTag's complexity-first diverse sampling (arXiv 2308.07074).
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
    """The K items that were taken."""

    order: np.ndarray  # K integers: the positions of the items, in the order in which they were taken
    passes: np.ndarray  # K integers: the pass in which each was taken, from 1; 0 for an item without tags
    similarity: np.ndarray  # K numbers: the similarity of each at that moment


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
    """Take items in passes over `order`, until the next one would exceed the limit.

    Args:
        indptr, indices: the distinct tags (0 to `tags` - 1) of each of the N items, as rows of a CSR matrix.
        tags: the number of tags.
        limit: the largest total cost.
        order: the order in which a pass walks the items (a permutation of the N positions).
        ratio: an item is taken if its similarity is below this (above 0, at most 1).
        rise: how much the ratio grows from one pass to the next, up to 1.
        similarity: for F_i the tags of item i, "union" is |F_i & C| / |F_i|, with C the tags of all items taken in this
            pass; a pass takes time proportional to the tags of all items. "pairwise" is the largest Jaccard similarity
            |F_i & F_j| / |F_i | F_j| to an item j taken in this pass.
        costs: the cost of each item (N integers; ones by default).

    Items without tags come last. Raises UserError for a ratio, a rise or a similarity that is not valid.
    """
    if similarity not in SIMILARITIES:
        raise UserError(unknown("similarity", similarity, SIMILARITIES))
    if not 0 < ratio <= 1 or rise < 0:
        raise UserError(
            f"ratio={ratio}, rise={rise}: valid are a ratio above 0 and at most 1, and a rise of at least 0."
        )
    prices = np.ones(len(indptr) - 1, np.int64) if costs is None else costs
    # The kernels are compiled for writable arrays; the read-only arrays of a cached feature are copied.
    pointers, sequence, prices = (np.require(a, np.int64, ["C", "W"]) for a in (indptr, order, prices))
    columns = np.require(indices, np.int32, ["C", "W"])
    from selbench.optimize.simscale_kernel import (  # compiles on import, so it is imported only when needed
        walk_pairwise,
        walk_union,
    )

    walk = walk_union if similarity == "union" else walk_pairwise
    return Walked(*walk(pointers, columns, tags, sequence, prices, limit, ratio, rise))
