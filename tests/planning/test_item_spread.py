"""The noise of test items, as a plan takes it from past runs."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from selbench.planning.item_spread import item_spread


class _Items:
    """Item values by run, in place of the files beside records."""

    def __init__(self, values: dict[str, pd.Series]) -> None:
        self._values, self.read = values, set()

    def of(self, run: str, suite: str) -> pd.Series | None:
        self.read.add(run)
        return self._values.get(run)


@dataclasses.dataclass
class _Past:
    """Past runs of one suite: tables of arms that differ on every item by chance."""

    tables: dict[str, dict[str, dict[int, SimpleNamespace]]]
    values: dict[str, pd.Series]


def _past(tables: int, arms: int, seeds: int, item_sd: float, items: int = 400) -> _Past:
    rng, runs, values = np.random.default_rng(0), {}, {}
    index = pd.MultiIndex.from_product([["t"], range(items)], names=["task", "item"])
    for table in range(tables):
        for arm in range(arms):
            own = rng.normal(0, item_sd, items)
            for seed in range(seeds):
                key = f"{table}-{arm}-{seed}"
                values[key] = pd.Series(own + rng.normal(0, 1, items), index)
                record = SimpleNamespace(key=key, created=f"2026-01-{table + 1:02}")
                runs.setdefault(str(table), {}).setdefault(str(arm), {})[seed] = record
    return _Past(runs, values)


def test_it_is_the_variance_that_other_items_would_add_to_a_difference():
    past = _past(tables=3, arms=4, seeds=3, item_sd=2.0)
    # Two arms, each with a variance of 4 from item to item, over 400 items; what changes with the seed is no part of it.
    assert item_spread(past.tables, "s", _Items(past.values)) == pytest.approx(2 * 4 / 400, rel=0.15)


def test_arms_that_answer_alike_have_none():
    past = _past(tables=1, arms=3, seeds=1, item_sd=0.0)
    same = dict.fromkeys(past.values, past.values["0-0-0"])
    assert item_spread(past.tables, "s", _Items(same)) == 0.0


def test_without_items_or_a_second_arm_nothing_is_known():
    past = _past(tables=2, arms=1, seeds=3, item_sd=1.0)
    assert item_spread(past.tables, "s", _Items(past.values)) is None
    past = _past(tables=2, arms=3, seeds=2, item_sd=1.0)
    assert item_spread(past.tables, "s", _Items({})) is None
    del past.values["0-0-0"]  # one table lacks a run's items: the other still tells
    assert item_spread(past.tables, "s", _Items(past.values)) is not None


def test_of_many_past_runs_the_latest_few_are_read():
    past = _past(tables=12, arms=8, seeds=2, item_sd=1.0, items=20)
    items = _Items(past.values)
    item_spread(past.tables, "s", items)
    assert {run.split("-")[0] for run in items.read} == {"11", "10", "9"} and len(items.read) == 3 * 5 * 2
