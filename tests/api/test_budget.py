"""A budget: what it costs to hold, and how much of an order it takes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from selbench.api import Budget, Example, Pool


def test_a_budget_in_examples_takes_no_space_for_its_costs():
    """A grid over millions of examples has hundreds of budgets."""
    ids = Pool([Example(str(n), "a", "b") for n in range(5)])
    budget = Budget.of(ids, 3)
    assert budget.costs.strides == (0,) and budget.costs.tolist() == [1] * 5
    assert budget.most == 3 and budget.take([4, 2, 0, 1]).tolist() == [4, 2, 0]
    again = dataclasses.replace(budget, limit=2)
    assert again.costs.strides == (0,) and again.take(np.array([4, 2, 0])).tolist() == [4, 2]
    with pytest.raises(ValueError, match="read-only"):
        budget.costs[0] = 0
    # One number that could still be changed is copied, as any array is.
    open_to_change = np.lib.stride_tricks.as_strided(np.ones(1, np.int64), (5,), (0,))
    assert Budget(ids.ids, open_to_change, 3).costs.strides == (8,)
