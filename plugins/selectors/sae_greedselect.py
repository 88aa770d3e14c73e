"""SAE-GreedSelect: greedy coverage of the features of a sparse autoencoder."""

from __future__ import annotations

from typing import Literal

import numpy as np
from selbench_plugins.selectors._sae import FIDELITY, PAPER, SaeOptions, tag_facts

from selbench.api import Budget, Context, Pool, Selection, selector
from selbench.optimize.coverage import coverage_curve, greedy_coverage


@selector("sae_greedselect", paper=PAPER, fidelity=FIDELITY)
class SaeGreedSelect(SaeOptions):
    """Always the example that adds most features of a sparse autoencoder which no chosen one has.

    arXiv 2502.14050 (Yang et al., Meta GenAI 2025), re-implemented from the abstract and notes: no code was published,
    and its pseudo-code was not seen. Known: a greedy rule for the coverage of unique features. Ours: among equals the
    example with more features comes first, then the one earlier in the pool; and what happens once nothing is new
    (`exhaustion`). Examples without a feature come last.

    Options:
        exhaustion: rounds: all features count as uncovered again for the examples that are left; largest: the rest
            follows by number of features.
    """

    exhaustion: Literal["rounds", "largest"] = "rounds"

    def __post_init__(self) -> None:
        _ = self.tags  # checks the options before any work

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        tags = context.features(self.tags)
        indptr, indices = tags["indptr"], tags["indices"]
        order, gains, rounds = greedselect(
            indptr, indices, int(tags["shape"][1]), budget.limit, costs=budget.costs, again=self.exhaustion == "rounds"
        )
        return Selection.ordered(
            order,
            budget,
            scores=np.diff(indptr).astype(np.float64),
            gains=gains,
            coverage=coverage_curve(indptr, indices, order),
            rounds=rounds,
            **tag_facts(tags, context),
        )


def greedselect(
    indptr: np.ndarray,
    indices: np.ndarray,
    tags: int,
    limit: int,
    *,
    costs: np.ndarray | None = None,
    again: bool = True,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Positions in the order of choice until the next does not fit, what each added, and how often coverage began anew.

    `indptr`, `indices`: CSR rows of distinct tags (0 to `tags` - 1), N rows; `costs`: N integers, ones by default.
    """
    sizes = np.diff(indptr)
    prices = np.ones(len(sizes), np.int64) if costs is None else np.asarray(costs, np.int64)
    # The coverage kernel gives equals to the lower position, so rows are laid out with the larger first.
    rank = np.argsort(-sizes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes[rank])])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes[rank])
    columns = indices[np.repeat(indptr[rank], sizes[rank]) + within]
    most = limit if again else int(prices.sum())
    found = greedy_coverage(starts, columns, tags, most, costs=prices[rank], objective="set_cover", rounds=again)
    order = rank[found.order]
    if not again:
        order = np.concatenate([order, rank[~np.isin(rank, order)]])
    order = order[: int(np.searchsorted(np.cumsum(prices[order]), limit, side="right"))]
    gains = np.zeros(len(sizes), np.int64)
    gains[: len(found.gains)] = np.rint(found.gains)
    return order, gains[: len(order)], found.rounds
