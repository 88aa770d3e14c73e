"""The two compiled walks of simscale.py. Importing this module compiles them; numba caches the machine code.

Both return the positions of the items taken, the pass of each and its similarity then.
"""

from __future__ import annotations

import numpy as np

from selbench.optimize.compiled import compiled

_WALK = "Tuple((i8[::1],i8[::1],f8[::1]))(i8[::1],i4[::1],i8,i8[::1],i8[::1],i8,f8,f8)"


@compiled(_WALK)
def walk_union(indptr, indices, tags, order, costs, limit, ratio, rise):  # type: ignore[no-untyped-def]
    """The walk whose similarity is the share of an item's tags that were covered in this pass."""
    n = len(order)
    taken, passes, similarity = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    covered_in = np.zeros(tags, np.int64)  # the pass in which a tag was last covered: in a new pass none is
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
    """The walk whose similarity is the largest Jaccard similarity to an item taken in this pass."""
    n = len(order)
    taken, passes, similarity = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    waiting, bare = np.empty(n, np.int64), np.empty(n, np.int64)
    # For each tag, a linked list of the items taken in this pass that carry it. A node is a place of `indices`: `owner`
    # is the pick it belongs to, `link` the next node, `head` the first node of a tag.
    head, link, owner = np.full(tags, -1), np.empty(len(indices), np.int64), np.empty(len(indices), np.int64)
    common = np.zeros(n, np.int64)  # tags that each pick shares with the current item
    met = np.empty(n, np.int64)  # the picks that share a tag with the current item
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
