"""The compiled kernels of facility_location.py: lazy greedy with a binary heap, over all similarities or those of neighbours.

Importing this module compiles them, which takes some seconds the first time; numba caches the machine code.
"""

from __future__ import annotations

import numpy as np

from selbench.optimize.compiled import compiled
from selbench.optimize.heap_kernel import sift_down


@compiled("i8(i4[:,::1],i4[::1],i8)")
def dense_gain(similar, covered, item):  # type: ignore[no-untyped-def]
    """What an item adds: the sum of what it is more similar to each item than the picked ones are."""
    total = np.int64(0)
    for v in range(len(covered)):
        total += max(similar[item, v] - covered[v], 0)
    return total


@compiled("i8(i8[::1],i4[::1],i4[::1],i4[::1],i8)")
def sparse_gain(indptr, indices, similar, covered, item):  # type: ignore[no-untyped-def]
    """The same over the items that have it among their neighbours."""
    total = np.int64(0)
    for p in range(indptr[item], indptr[item + 1]):
        total += max(similar[p] - covered[indices[p]], 0)
    return total


@compiled("Tuple((i8[::1],i8[::1],f8[::1]))(i4[:,::1],f8[::1],f8,i8[::1],i8)")
def lazy_dense(similar, bonus, alpha, costs, limit):  # type: ignore[no-untyped-def]
    """The order, the integer gains and the values compared, of N x N similarities. See facility_location."""
    n = len(costs)
    order, gains, values = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    covered = np.zeros(n, np.int32)
    heap, bound, gain = np.arange(n), np.zeros(n), np.zeros(n, np.int64)
    exact_at = np.zeros(n, np.int64)  # the number of picks after which an item's bound was its exact value
    largest = np.int64(1)
    for item in range(n):
        gain[item] = dense_gain(similar, covered, item)
        largest = max(largest, gain[item])
    for item in range(n):
        bound[item] = gain[item] if alpha == 0 else (1 - alpha) * (gain[item] / largest) + alpha * bonus[item]
    for node in range(n // 2 - 1, -1, -1):
        sift_down(heap, bound, node, n)
    size, picks, spent = n, 0, 0
    while size > 0:
        top = heap[0]
        if exact_at[top] != picks:
            gain[top] = dense_gain(similar, covered, top)
            bound[top] = gain[top] if alpha == 0 else (1 - alpha) * (gain[top] / largest) + alpha * bonus[top]
            exact_at[top] = picks
        else:
            if spent + costs[top] > limit:
                break
            order[picks], gains[picks], values[picks] = top, gain[top], bound[top]
            picks += 1
            spent += costs[top]
            for v in range(n):
                covered[v] = max(covered[v], similar[top, v])
            size -= 1
            heap[0] = heap[size]
        sift_down(heap, bound, 0, size)
    return order[:picks].copy(), gains[:picks].copy(), values[:picks].copy()


@compiled("Tuple((i8[::1],i8[::1],f8[::1]))(i8[::1],i4[::1],i4[::1],f8[::1],f8,i8[::1],i8)")
def lazy_sparse(indptr, indices, similar, bonus, alpha, costs, limit):  # type: ignore[no-untyped-def]
    """The same where row i holds the items that have i among their neighbours, and how similar they are."""
    n = len(costs)
    order, gains, values = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    covered = np.zeros(n, np.int32)
    heap, bound, gain = np.arange(n), np.zeros(n), np.zeros(n, np.int64)
    exact_at = np.zeros(n, np.int64)
    largest = np.int64(1)
    for item in range(n):
        gain[item] = sparse_gain(indptr, indices, similar, covered, item)
        largest = max(largest, gain[item])
    for item in range(n):
        bound[item] = gain[item] if alpha == 0 else (1 - alpha) * (gain[item] / largest) + alpha * bonus[item]
    for node in range(n // 2 - 1, -1, -1):
        sift_down(heap, bound, node, n)
    size, picks, spent = n, 0, 0
    while size > 0:
        top = heap[0]
        if exact_at[top] != picks:
            gain[top] = sparse_gain(indptr, indices, similar, covered, top)
            bound[top] = gain[top] if alpha == 0 else (1 - alpha) * (gain[top] / largest) + alpha * bonus[top]
            exact_at[top] = picks
        else:
            if spent + costs[top] > limit:
                break
            order[picks], gains[picks], values[picks] = top, gain[top], bound[top]
            picks += 1
            spent += costs[top]
            for p in range(indptr[top], indptr[top + 1]):
                covered[indices[p]] = max(covered[indices[p]], similar[p])
            size -= 1
            heap[0] = heap[size]
        sift_down(heap, bound, 0, size)
    return order[:picks].copy(), gains[:picks].copy(), values[:picks].copy()
