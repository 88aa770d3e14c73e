"""A feature in shards: each is computed over a range of the pool's batches, and all are merged by row.

What a shard holds is a feature of its own examples, with their positions in the pool under EXAMPLES (ascending). Shards of one
pool have no example in common. What a feature needs for it is said in api.ShardedFeatureSpec.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selbench.api import Feature

EXAMPLES = "examples"  # the name of the array with the positions of a shard's examples in the pool


def shard_range(length: int, shard: int, of: int) -> range:
    """The positions, of `length`, that belong to shard number `shard` (from 0) of `of`: consecutive, about equally many."""
    return range(length * shard // of, length * (shard + 1) // of)


def empty_shard() -> Feature:
    """The shard of no example: where there are more shards than batches."""
    return {EXAMPLES: np.zeros(0, np.int64)}


def example_count(shards: Sequence[Feature]) -> int:
    """The number of examples of all shards, N."""
    return sum(len(shard[EXAMPLES]) for shard in shards)


def merged_rows(shards: Sequence[Feature], name: str) -> np.ndarray:
    """The array `name`, which has one row per example in every shard, for the whole pool (N rows).

    Shards whose arrays are mapped into memory are read one after the other, so that besides the result no more is held.
    """
    first = shards[0][name]
    merged = np.empty((example_count(shards), *first.shape[1:]), first.dtype)
    for shard in shards:
        merged[shard[EXAMPLES]] = shard[name]
    return merged


def merged_sparse_rows(shards: Sequence[Feature]) -> tuple[np.ndarray, np.ndarray]:
    """`indptr` (N + 1) and `indices` of the whole pool, from the sparse rows (CSR) of the shards."""
    sizes = np.zeros(example_count(shards), np.int64)
    for shard in shards:
        sizes[shard[EXAMPLES]] = np.diff(shard["indptr"])
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    indices = np.empty(indptr[-1], shards[0]["indices"].dtype)
    for shard in shards:
        starts, columns = shard["indptr"], shard["indices"]
        for row, example in enumerate(shard[EXAMPLES]):
            indices[indptr[example] : indptr[example + 1]] = columns[starts[row] : starts[row + 1]]
    return indptr, indices
