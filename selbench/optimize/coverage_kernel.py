"""The compiled kernel of coverage.py: a binary heap of items, ordered by upper bounds on their integer gains.

Importing this module compiles it, which takes 1.4 s the first time and 0.2 s from numba's cache.
"""

from __future__ import annotations

import numpy as np

from selbench.optimize.compiled import compiled
from selbench.optimize.heap_kernel import sift_down

# The signatures are numba's type annotations: pointers, positions, tags and gains are 64-bit integers, columns 32-bit.


@compiled("i8(i8[::1],i4[::1],i8[::1],i8)")
def row_gain(indptr, indices, step, item):  # type: ignore[no-untyped-def]
    """The gain of an item now: the sum of what one more hit of each of its tags is worth."""
    total = np.int64(0)
    for p in range(indptr[item], indptr[item + 1]):
        total += step[indices[p]]
    return total


@compiled("void(i8[::1],i4[::1],f8[::1],f8[::1],i8[::1],i8[::1],i8[::1],i8[::1],i8)")
def start_afresh(indptr, indices, weight, slope, count, step, heap, bound, size):  # type: ignore[no-untyped-def]
    """Reset the coverage: compute the exact gains of the first `size` items of the heap, and order the heap by them."""
    for t in range(len(weight)):
        count[t] = 0
        step[t] = np.int64(weight[t] * slope[0])
    for h in range(size):
        bound[heap[h]] = row_gain(indptr, indices, step, heap[h])
    for node in range(size // 2 - 1, -1, -1):
        sift_down(heap, bound, node, size)


@compiled("Tuple((i8[::1],i8[::1],i8))(i8[::1],i4[::1],f8[::1],f8[::1],i8[::1],i8,b1)")
def lazy_greedy(indptr, indices, weight, slope, costs, limit, rounds):  # type: ignore[no-untyped-def]
    """The order and the gains of the picks, and how many times the coverage was reset. See coverage.greedy_coverage.

    `slope` holds the marginal values g(c + 1) - g(c). `weight` is scaled such that weight * slope, truncated to an
    integer, is what one more hit of a tag is worth.
    """
    n = len(indptr) - 1
    count, step = np.zeros(len(weight), np.int64), np.zeros(len(weight), np.int64)
    order, gains = np.zeros(n, np.int64), np.zeros(n, np.int64)
    heap, bound = np.arange(n), np.zeros(n, np.int64)
    exact_at = np.zeros(n, np.int64)  # the number of picks after which an item's bound was its exact gain
    size, picks, spent, restarts = n, 0, 0, 0
    just_restarted = False
    start_afresh(indptr, indices, weight, slope, count, step, heap, bound, size)
    while size > 0:
        top = heap[0]
        if exact_at[top] != picks:
            bound[top] = row_gain(indptr, indices, step, top)
            exact_at[top] = picks
        elif bound[top] == 0 and not just_restarted:
            if not rounds:
                break
            start_afresh(indptr, indices, weight, slope, count, step, heap, bound, size)
            exact_at[:] = picks
            just_restarted = True
            restarts += 1
            continue
        else:
            if spent + costs[top] > limit:
                break
            order[picks], gains[picks] = top, bound[top]
            picks += 1
            spent += costs[top]
            just_restarted = bound[top] == 0  # no gain even after a reset: no remaining item can add anything
            for p in range(indptr[top], indptr[top + 1]):
                t = indices[p]
                count[t] += 1
                step[t] = np.int64(weight[t] * slope[count[t]])
            size -= 1
            heap[0] = heap[size]
        sift_down(heap, bound, 0, size)
    return order[:picks].copy(), gains[:picks].copy(), restarts
