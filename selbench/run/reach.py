"""How far a ranking has to go, so that one ranking of a nested selector serves all budgets of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from selbench.api import Budget, Pool
from selbench.errors import UserError
from selbench.models import fingerprint
from selbench.run.inputs import load_target, pool_of
from selbench.settings import Run
from selbench.store.keys import digest, plugin_identity
from selbench.store.outputs import Outputs


def ranking_group(run: Run) -> str:
    """A hash, the same for the runs that one ranking of a nested selector serves: they differ in their budgets only."""
    selector, pool = run.selector, pool_of(run).pool
    return digest(
        {
            "selector": plugin_identity(selector),
            "pool": pool.fingerprint,
            "unit": [run.budget_unit, fingerprint(run.model) if run.budget_unit == "tokens" else None],
            "scorer": fingerprint(run.scorer) if selector.uses_scorer else None,
            "target": {name: examples.fingerprint for name, examples in load_target(run).items()},
            "seed": run.seed if selector.stochastic else None,
        }
    )


def budgets_by_ranking(runs: Sequence[Run]) -> dict[str, list[int | float]]:
    """Ranking group -> the distinct budgets that the runs of a grid ask of it, in the order of the runs."""
    found: dict[str, list[int | float]] = {}
    for run in runs:
        if run.selector.takes_budget and run.selector.nested:
            amounts = found.setdefault(ranking_group(run), [])
            amounts += [run.budget] if run.budget not in amounts else []
    return found


def budgets_of_ranking(run: Run, pool: Pool, tokens: np.ndarray) -> list[Budget]:
    """The budgets that the run's sweep asks of its ranking, smallest first; none outside a sweep, for a selector that
    takes no budget, and if no budget fits the pool.

    `tokens` are the N response tokens of the pool.
    """
    if not run.sweep or not run.selector.takes_budget:
        return []
    amounts = Outputs(run.output_dir).sweeps.open(run.sweep).about["reach"].get(ranking_group(run), [])
    budgets = []
    for amount in amounts:
        with suppress(UserError):  # a budget that does not fit fails its own cell, not this one
            budgets.append(Budget.of(pool, amount, run.budget_unit, tokens=tokens))
    return sorted(budgets, key=lambda budget: budget.limit)
