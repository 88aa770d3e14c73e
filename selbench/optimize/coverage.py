"""Greedy maximum coverage over tags: exact, lazy, compiled.

F(S) = sum over tags t of w_t * g(c_t(S)), where c_t(S) is how many chosen items carry tag t and g is concave with
g(0) = 0. F is monotone and submodular, so the gain of an item only falls while others are chosen: an old gain is an
upper bound, and an item has to be looked at again only when its bound is the largest left (Minoux 1978). The picks
are those of the plain greedy, which is within 1 - 1/e of the optimum.
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
    """What the greedy chose: `order` (K positions), `gains` (K, in units of F), `rounds` (how often coverage began anew)."""

    order: np.ndarray
    gains: np.ndarray
    rounds: int = 0


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
    """Items in the order of the exact greedy, until the next pick no longer fits.

    Args:
        indptr, indices: CSR rows: the distinct tags (0 to `tags` - 1) of each of the N items.
        limit, costs: what may be spent and what each item costs (N integers; ones by default).
        objective: g(c): log(1 + c), sqrt(c), min(c, 1) for set_cover or min(c, `m`) for m_cover.
        weights: w_t >= 0, one per tag; ones by default.
        rounds: when no item left adds anything, forget what is covered and go on with the rest; items that can
            never add anything come last, in their order. Without rounds the greedy stops there.

    Ties go to the lower position. Gains are summed as 64-bit integers (w_t * g scaled to use their range), so that two
    sums of the same terms are equal, and neither the order of a row's tags nor that of the pool changes a choice
    through rounding. Different terms of equal sum, such as log 2 and log 3/2 + log 4/3, are told apart at the 18th digit.
    """
    if objective not in OBJECTIVES:
        raise UserError(unknown("objective", objective, OBJECTIVES))
    n = len(indptr) - 1
    pointers = np.require(indptr, np.int64, ["C", "W"])
    weight = np.ones(tags) if weights is None else np.require(weights, np.float64, ["C", "W"])
    if weight.shape != (tags,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise UserError(f"coverage needs {tags} finite weights of at least 0, one per tag.")
    slope = _slopes(objective, m, n)
    # The largest gain that could be stays at 2^62, so sums cannot overflow.
    most = max(1, int(np.diff(pointers).max(initial=0))) * float(np.max(weight, initial=0.0)) * slope[0]
    scale = 2.0**62 / most if most else 1.0
    from selbench.optimize.coverage_kernel import lazy_greedy  # compiles when imported, so only when it is needed

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
    """w_t from the document frequencies: 1, log(N / df) for idf, or df^-gamma for power; 0 for tags nobody has."""
    if kind not in WEIGHTS:
        raise UserError(unknown("weights", kind, WEIGHTS))
    seen = np.maximum(df, 1).astype(np.float64)
    values = {"one": np.ones_like(seen), "idf": np.log(n / seen), "power": seen**-gamma}[kind]
    return np.where(df > 0, np.maximum(values, 0.0), 0.0)


def coverage_curve(indptr: np.ndarray, indices: np.ndarray, order: np.ndarray) -> np.ndarray:
    """K shares, rising: the part of all tags that occur in the pool which the first 1, 2, ... K picks have covered."""
    coverable = len(np.unique(indices))
    rows = [indices[indptr[i] : indptr[i + 1]] for i in order]
    if not coverable or not rows:
        return np.zeros(len(order))
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    _, first = np.unique(np.concatenate(rows), return_index=True)
    return np.cumsum(np.bincount(owner[first], minlength=len(rows))) / coverable


def _slopes(objective: str, m: int, n: int) -> np.ndarray:
    """g(c + 1) - g(c) for c = 0 .. N; never rising."""
    count = np.arange(n + 1, dtype=np.float64)
    if objective == "log":
        return np.log1p(1 / (1 + count))
    if objective == "sqrt":
        return 1 / (np.sqrt(count + 1) + np.sqrt(count))
    if objective == "m_cover" and m < 1:
        raise UserError(f"m={m} covers nothing: m-cover needs m of at least 1.")
    return (count < (1 if objective == "set_cover" else m)).astype(np.float64)
