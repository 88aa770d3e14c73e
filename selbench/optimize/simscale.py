"""The threshold walk: take an item if it is not too similar to what has been taken. Compiled.

Walks all items in a given order, again and again: what one pass rejects, the next looks at afresh, until all are
taken or the budget is spent. With the union rule and a threshold of 1 it is InsTag's complexity-first diverse
sampling (arXiv 2308.07074). Importing this module compiles it; numba keeps the machine code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selbench.errors import UserError, unknown
from selbench.optimize.compiled import compiled

SIMILARITIES = ("union", "pairwise")


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
    similarity: str = "union",
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
    walk = walk_union if similarity == "union" else walk_pairwise
    return Walked(*walk(pointers, columns, tags, sequence, prices, limit, ratio, rise))


_WALK = "Tuple((i8[::1],i8[::1],f8[::1]))(i8[::1],i4[::1],i8,i8[::1],i8[::1],i8,f8,f8)"


@compiled(_WALK)
def walk_union(indptr, indices, tags, order, costs, limit, ratio, rise):  # type: ignore[no-untyped-def]
    n = len(order)
    taken, passes, similarity = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    covered_in = np.zeros(tags, np.int64)  # the pass in which a tag was last covered: a new pass starts from nothing
    waiting, bare = np.empty(n, np.int64), np.empty(n, np.int64)
    left, bares = 0, 0
    for item in order:
        if indptr[item + 1] > indptr[item]:
            waiting[left] = item
            left += 1
        else:
            bare[bares] = item
            bares += 1
    picks, spent, number = 0, 0, 0
    while left > 0:
        number += 1
        bar = min(ratio + rise * (number - 1), 1.0)
        kept = 0
        for w in range(left):
            item = waiting[w]
            hits = 0
            for p in range(indptr[item], indptr[item + 1]):
                hits += covered_in[indices[p]] == number
            share = hits / (indptr[item + 1] - indptr[item])
            if share >= bar:
                waiting[kept] = item
                kept += 1
                continue
            if spent + costs[item] > limit:
                return taken[:picks].copy(), passes[:picks].copy(), similarity[:picks].copy()
            taken[picks], passes[picks], similarity[picks] = item, number, share
            picks += 1
            spent += costs[item]
            for p in range(indptr[item], indptr[item + 1]):
                covered_in[indices[p]] = number
        left = kept
    for item in bare[:bares]:
        if spent + costs[item] > limit:
            break
        taken[picks] = item
        picks += 1
        spent += costs[item]
    return taken[:picks].copy(), passes[:picks].copy(), similarity[:picks].copy()


@compiled(_WALK)
def walk_pairwise(indptr, indices, tags, order, costs, limit, ratio, rise):  # type: ignore[no-untyped-def]
    n = len(order)
    taken, passes, similarity = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    waiting, bare = np.empty(n, np.int64), np.empty(n, np.int64)
    # For each tag the items taken in this pass that carry it: a linked list through the places of `indices`.
    head, link, owner = np.full(tags, -1), np.empty(len(indices), np.int64), np.empty(len(indices), np.int64)
    common = np.zeros(n, np.int64)  # tags that a taken item (by pick) shares with the one looked at
    met = np.empty(n, np.int64)
    left, bares = 0, 0
    for item in order:
        if indptr[item + 1] > indptr[item]:
            waiting[left] = item
            left += 1
        else:
            bare[bares] = item
            bares += 1
    picks, spent, number = 0, 0, 0
    while left > 0:
        number += 1
        bar = min(ratio + rise * (number - 1), 1.0)
        head[:] = -1
        kept = 0
        for w in range(left):
            item = waiting[w]
            meetings = 0
            for p in range(indptr[item], indptr[item + 1]):
                place = head[indices[p]]
                while place >= 0:
                    pick = owner[place]
                    if common[pick] == 0:
                        met[meetings] = pick
                        meetings += 1
                    common[pick] += 1
                    place = link[place]
            nearest, size = 0.0, indptr[item + 1] - indptr[item]
            for m in range(meetings):
                pick = met[m]
                other = indptr[taken[pick] + 1] - indptr[taken[pick]]
                nearest = max(nearest, common[pick] / (size + other - common[pick]))
                common[pick] = 0
            if nearest >= bar:
                waiting[kept] = item
                kept += 1
                continue
            if spent + costs[item] > limit:
                return taken[:picks].copy(), passes[:picks].copy(), similarity[:picks].copy()
            taken[picks], passes[picks], similarity[picks] = item, number, nearest
            for p in range(indptr[item], indptr[item + 1]):
                owner[p] = picks
                link[p] = head[indices[p]]
                head[indices[p]] = p
            picks += 1
            spent += costs[item]
        left = kept
    for item in bare[:bares]:
        if spent + costs[item] > limit:
            break
        taken[picks] = item
        picks += 1
        spent += costs[item]
    return taken[:picks].copy(), passes[:picks].copy(), similarity[:picks].copy()
