"""Greedy log coverage: 7,800 picks from 52,002 rows with 8,192 tags, 1 % of them on.

Compared are selbench's compiled lazy greedy, a greedy that rescores every row with scipy at every pick and, with
--apricot, the lazy greedy of apricot (package apricot-select). Then the time of selbench's from 10,000 to 1,000,000 rows.
"""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp
from side_by_side import parse_options, time_ways

from selbench.optimize.coverage import greedy_coverage


def random_tags(rows: int, columns: int, share: float = 0.01) -> sp.csr_matrix:
    """Random tags of which about `share` are on; the frequency of a tag falls with the square root of its rank."""
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, columns + 1) ** 0.5
    cells = int(rows * columns * share)
    column = rng.choice(columns, cells, p=popularity / popularity.sum())
    matrix = sp.csr_matrix((np.ones(cells, np.float32), (rng.integers(0, rows, cells), column)), shape=(rows, columns))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def greedy_by_rescoring(matrix: sp.csr_matrix, k: int, weights: np.ndarray) -> np.ndarray:
    """The plain greedy: one sparse matrix-vector product per pick. Positions of the k picks."""
    count, free, order = np.zeros(matrix.shape[1]), np.ones(matrix.shape[0], bool), []
    for _ in range(k):
        gains = np.where(free, matrix @ (weights * np.log1p(1 / (1 + count))), -1)
        best = int(gains.argmax())
        order.append(best)
        free[best] = False
        count[matrix.indices[matrix.indptr[best] : matrix.indptr[best + 1]]] += 1
    return np.array(order)


def apricot_lazy(matrix: sp.csr_matrix, k: int) -> np.ndarray:
    from apricot import FeatureBasedSelection

    return FeatureBasedSelection(k, concave_func="log", optimizer="lazy").fit(matrix.astype(np.float64)).ranking


def main() -> None:
    options = parse_options(__doc__ or "")
    rows, columns, k = (2000, 512, 300) if options.quick else (52002, 8192, 7800)
    matrix = random_tags(rows, columns)

    # The weights differ, so that gains are not tied and all ways must make the same picks.
    weights = 1 + np.random.default_rng(1).random(columns)

    def ours() -> np.ndarray:
        return greedy_coverage(matrix.indptr, matrix.indices, columns, k, weights=weights).order

    start = time.perf_counter()
    picks = ours()
    print(f"{rows:,} x {columns:,}, {matrix.nnz:,} tags, {k:,} picks; first call {time.perf_counter() - start:.2f} s")
    theirs = greedy_by_rescoring(matrix, k, weights)
    print(
        f"same picks as scipy: {(picks == theirs).sum():,} of {k:,} in place, {len(set(picks) & set(theirs)):,} in all"
    )
    ways = {"selbench": ours, "scipy, every row at every pick": lambda: greedy_by_rescoring(matrix, k, weights)}
    if options.apricot:
        ways["apricot, lazy"] = lambda: apricot_lazy(matrix, k)
    time_ways(ways, "selbench", options)
    for size in (1000, 4000) if options.quick else (10_000, 100_000, 1_000_000):
        grown = random_tags(size, columns)
        start = time.perf_counter()
        greedy_coverage(grown.indptr, grown.indices, columns, int(0.15 * size))
        print(f"{size:>9,} rows, {grown.nnz:>12,} tags, 15 %: {time.perf_counter() - start:8.2f} s")


if __name__ == "__main__":
    main()
