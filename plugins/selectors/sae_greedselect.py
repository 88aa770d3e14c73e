"""SAE-GreedSelect: greedy coverage of the features of a sparse autoencoder."""

from __future__ import annotations

from typing import Literal

import numpy as np
from selbench_plugins.selectors._sae import FIDELITY, PAPER, SaeOptions, tag_facts

from selbench.api import Budget, Context, Pool, Selection, selector
from selbench.optimize.coverage import coverage_curve, greedy_coverage


@selector("sae_greedselect", nested=True, paper=PAPER, fidelity=FIDELITY)
class SaeGreedSelect(SaeOptions):
    """Always the example with the most features of a sparse autoencoder that no chosen example has yet.

    arXiv 2502.14050 (Yang et al., Meta GenAI 2025), re-implemented from the abstract and public notes: no code was
    published, and we have not seen the pseudo-code. From the notes: the rule is greedy coverage of unique features.
    Ours: among equals the example with more features comes first, then the one earlier in the pool; what happens once
    every feature is covered (`exhaustion`); examples without a feature come last. See docs/methods/sae.md.

    Options:
        exhaustion: what follows once no example adds a feature: rounds = all features count as uncovered again for
            the remaining examples; largest = the remaining examples by number of features.
    """

    exhaustion: Literal["rounds", "largest"] = "rounds"

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        tags = self.tags_of(context)
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
    """The greedy order as far as the budget reaches.

    Args:
        indptr: N + 1 integers; with `indices` the CSR rows of distinct tags, numbered 0 to `tags` - 1.
        indices: the tags of all rows.
        tags: how many tags exist.
        limit: the budget. The order ends before the first example that no longer fits.
        costs: N integers; ones by default.
        again: start a new round when no example adds a tag; otherwise the rest follows by number of tags.

    Returns:
        The positions in the order of choice, how many new tags each added, and how often a new round began.
    """
    sizes = np.diff(indptr)
    prices = np.ones(len(sizes), np.int64) if costs is None else np.asarray(costs, np.int64)
    # The coverage kernel breaks ties by the lower position, so the rows with more tags are put first.
    rank = np.argsort(-sizes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes[rank])])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes[rank])
    columns = indices[np.repeat(indptr[rank], sizes[rank]) + within]
    # Without rounds the kernel stops at full coverage by itself, so it runs without a limit and the cut comes below.
    most = limit if again else int(prices.sum())
    found = greedy_coverage(starts, columns, tags, most, costs=prices[rank], objective="set_cover", rounds=again)
    order = rank[found.order]
    if not again:
        order = np.concatenate([order, rank[~np.isin(rank, order)]])
    order = order[: int(np.searchsorted(np.cumsum(prices[order]), limit, side="right"))]
    gains = np.zeros(len(sizes), np.int64)
    gains[: len(found.gains)] = np.rint(found.gains)
    return order, gains[: len(order)], found.rounds
