"""Data order and the cutting of steps into forward passes."""

from __future__ import annotations

import itertools

import numpy as np
from selbench_plugins.trainers._order import epoch_order, plan_steps, split_by_length

IDS = [f"id{i}" for i in range(40)]


def test_common_examples_keep_their_relative_order_in_any_selection() -> None:
    every = [IDS[i] for i in epoch_order(IDS, seed=5, epoch=1)]
    part = IDS[::-3]
    assert [part[i] for i in epoch_order(part, seed=5, epoch=1)] == [id for id in every if id in part]
    assert every != [IDS[i] for i in epoch_order(IDS, seed=5, epoch=2)]
    assert every != [IDS[i] for i in epoch_order(IDS, seed=6, epoch=1)]


def test_every_epoch_holds_every_example_once() -> None:
    plan = plan_steps(IDS, np.ones(40, int), batch_size=16, seed=0, match="epochs", amount=2.0)
    assert [len(step) for step in plan.steps] == [16, 16, 8] * 2
    for epoch in range(2):
        assert sorted(np.concatenate(plan.steps[3 * epoch : 3 * epoch + 3])) == list(range(40))


def test_shares_of_an_epoch_do_not_suffer_from_binary_rounding() -> None:
    plan = plan_steps(IDS[:30], np.ones(30, int), batch_size=100, seed=0, match="epochs", amount=0.1)
    assert [len(step) for step in plan.steps] == [3]


def test_tokens_are_reached_and_hardly_passed() -> None:
    tokens = np.arange(40) % 7 + 1
    for amount in (1, 30, 160, 161, 500):
        seen = np.concatenate(plan_steps(IDS, tokens, batch_size=8, seed=0, match="tokens", amount=amount).steps)
        assert tokens[seen].sum() >= amount > tokens[seen][:-1].sum()


def test_the_cut_has_the_least_padding() -> None:
    lengths = np.asarray([9, 2, 2, 8, 1])

    def price(parts: list[list[int]]) -> int:
        return sum(lengths[part].max() * len(part) + 3 for part in parts)

    parts = split_by_length(lengths, most=3, cost=3)
    assert sorted(np.concatenate(parts)) == [0, 1, 2, 3, 4]
    assert max(len(part) for part in parts) <= 3
    order = sorted(range(5), key=lambda i: -lengths[i])
    every = [
        [order[a:b] for a, b in itertools.pairwise((0, *cuts, 5))]
        for count in range(5)
        for cuts in itertools.combinations(range(1, 5), count)
    ]
    assert price([list(part) for part in parts]) == min(
        price(cut) for cut in every if max(len(part) for part in cut) <= 3
    )
