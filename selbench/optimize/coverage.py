"""Greedy maximum coverage over tags: exact, lazy, compiled.

The objective is F(S) = sum over tags t of w_t * g(c_t(S)), where c_t(S) is the number of chosen items that carry tag t
and g is concave with g(0) = 0. F is monotone and submodular: the gain of an item never rises while others are chosen.
So an old gain is an upper bound, and an item needs to be evaluated again only when its bound is the largest (the lazy
greedy of Minoux 1978). The picks are those of the plain greedy; their F is at least 1 - 1/e of the optimum (Nemhauser
et al. 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from selbench.errors import UserError, unknown

Objective = Literal["log", "sqrt", "set_cover", "m_cover"]
Weights = Literal["one", "idf", "power"]
OBJECTIVES = get_args(Objective)
WEIGHTS = get_args(Weights)


@dataclass(frozen=True, eq=False)
class Covered:
    """The K picks of the greedy."""

    order: np.ndarray  # K integers: the positions of the items, in the order in which they were picked
    gains: np.ndarray  # K numbers: what each pick added to F
    rounds: int = 0  # how many times the coverage was reset


def greedy_coverage(
    indptr: np.ndarray,
    indices: np.ndarray,
    tags: int,
    limit: int,
    *,
    costs: np.ndarray | None = None,
    objective: Objective = "log",
    m: int = 1,
    weights: np.ndarray | None = None,
    rounds: bool = True,
) -> Covered:
    """Pick items in the order of the exact greedy, until the next pick would exceed the limit.

    Args:
        indptr, indices: the distinct tags (0 to `tags` - 1) of each of the N items, as rows of a CSR matrix.
        tags: the number of tags.
        limit: the largest total cost.
        costs: the cost of each item (N integers; ones by default).
        objective: g(c): log(1 + c), sqrt(c), min(c, 1) for set_cover, or min(c, `m`) for m_cover.
        m: how many items of a tag count for m_cover.
        weights: w_t >= 0, one per tag; ones by default.
        rounds: when no remaining item adds anything, reset the coverage and go on with the remaining items; items that
            can never add anything come last, in the order of their positions. If false, the greedy stops there.

    Ties go to the lower position. Gains are summed as 64-bit integers (w_t * g, scaled to use their range): sums of the
    same terms are equal in any order, so neither the order of a row's tags nor that of the pool changes a pick through
    rounding. Sums that are equal only mathematically, such as log 2 and log 3/2 + log 4/3, may differ in the 18th digit.

    Raises UserError for an unknown objective, for m < 1 and for weights that are not valid.
    """
    if objective not in OBJECTIVES:
        raise UserError(unknown("objective", objective, OBJECTIVES))
    n = len(indptr) - 1
    pointers = np.require(indptr, np.int64, ["C", "W"])
    weight = np.ones(tags) if weights is None else np.require(weights, np.float64, ["C", "W"])
    if weight.shape != (tags,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise UserError(f"coverage needs {tags} finite weights of at least 0, one per tag.")
    slope = _marginal_gains(objective, m, n)
    # The scale takes an upper bound of all gains to 2^62, so no sum overflows.
    most = max(1, int(np.diff(pointers).max(initial=0))) * float(np.max(weight, initial=0.0)) * slope[0]
    scale = 2.0**62 / most if most else 1.0
    from selbench.optimize.coverage_kernel import lazy_greedy  # compiles on import, so it is imported only when needed

    order, gains, restarts = lazy_greedy(
        pointers,
        np.require(indices, np.int32, ["C", "W"]),
        weight * scale,
        slope,
        np.ones(n, np.int64) if costs is None else np.require(costs, np.int64, ["C", "W"]),
        limit,
        rounds,
    )
    return Covered(order, gains / scale, restarts)


def tag_weights(df: np.ndarray, n: int, kind: Weights = "one", gamma: float = 0.5) -> np.ndarray:
    """The weight of each tag from its document frequency `df`, the number of the `n` items that carry it.

    one: 1. idf: log(n / df). power: df^-gamma. A tag that no item carries has weight 0. Raises UserError for another kind.
    """
    if kind not in WEIGHTS:
        raise UserError(unknown("weights", kind, WEIGHTS))
    seen = np.maximum(df, 1).astype(np.float64)
    values = {"one": np.ones_like(seen), "idf": np.log(n / seen), "power": seen**-gamma}[kind]
    return np.where(df > 0, np.maximum(values, 0.0), 0.0)


def coverage_curve(indptr: np.ndarray, indices: np.ndarray, order: np.ndarray) -> np.ndarray:
    """K shares: of the tags that occur in the pool, the share that the first 1, 2, ..., K picks of `order` cover.

    `indptr` and `indices` are the CSR rows of the whole pool.
    """
    coverable = len(np.unique(indices))
    rows = [indices[indptr[i] : indptr[i + 1]] for i in order]
    if not coverable or not rows:
        return np.zeros(len(order))
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    _, first = np.unique(np.concatenate(rows), return_index=True)
    return np.cumsum(np.bincount(owner[first], minlength=len(rows))) / coverable


def _marginal_gains(objective: str, m: int, n: int) -> np.ndarray:
    """g(c + 1) - g(c) for c = 0 .. n: n + 1 numbers, in descending order."""
    count = np.arange(n + 1, dtype=np.float64)
    if objective == "log":
        return np.log1p(1 / (1 + count))
    if objective == "sqrt":
        # the difference of the roots without cancellation
        gains: np.ndarray = 1 / (np.sqrt(count + 1) + np.sqrt(count))
        return gains
    if objective == "m_cover" and m < 1:
        raise UserError(f"m={m} covers nothing: m-cover needs m of at least 1.")
    return (count < (1 if objective == "set_cover" else m)).astype(np.float64)
