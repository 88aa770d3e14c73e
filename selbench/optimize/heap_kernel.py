"""The binary heap of the lazy greedy kernels, of items ordered by upper bounds on their gains."""

from __future__ import annotations

from selbench.optimize.compiled import compiled


@compiled("void(i8[::1],i8[::1],i8,i8)", "void(i8[::1],f8[::1],i8,i8)")
def sift_down(heap, bound, node, size):  # type: ignore[no-untyped-def]
    """Restore the heap below `node`: larger bounds come first and, of equal bounds, the lower position."""
    item = heap[node]
    while 2 * node + 1 < size:
        child = 2 * node + 1
        other = heap[child]
        if child + 1 < size:
            right = heap[child + 1]
            if bound[right] > bound[other] or (bound[right] == bound[other] and right < other):
                child += 1
                other = right
        if bound[item] > bound[other] or (bound[item] == bound[other] and item < other):
            break
        heap[node] = other
        node = child
    heap[node] = item
