"""Which examples each optimizer step sees, and how a step is cut into forward passes of similar length.

An epoch is ordered by a hash of (seed, epoch, example id). The order depends neither on how the examples arrive nor on
which others were selected, so two arms under one seed train on their common examples in the same relative order.
Examples are grouped by length only inside a step, between forward passes whose gradients are added: grouping changes
the speed and not the examples that a step learns from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Plan:
    """The order of a whole training."""

    steps: tuple[np.ndarray, ...]  # for each optimizer step, the positions of its examples
    epochs: float  # how often an example is seen on average


def plan_steps(
    ids: Sequence[str], tokens: np.ndarray, *, batch_size: int, seed: int, match: str, amount: float
) -> Plan:
    """The order of a whole training, fixed before it starts.

    Args:
        ids: one per example.
        tokens: N integers, the tokens of each example that are in the loss.
        batch_size: examples per optimizer step; the last step of an epoch may have fewer.
        match: what `amount` counts. "epochs": passes over the examples, fractions allowed. "steps": optimizer
            steps. "tokens": tokens in the loss; training ends with the example that reaches the amount.
        amount: how many of them, above 0.
    """
    steps: list[np.ndarray] = []
    rows = seen = epoch = 0
    while True:
        order = epoch_order(ids, seed, epoch)
        if match == "epochs":
            share = min(1.0, max(0.0, amount - epoch))
            order = order[: int(np.ceil(round(share * len(ids), 9)))]  # 0.1 * 30 must not become 4 by binary rounding
        elif match == "steps":
            order = order[: (int(amount) - len(steps)) * batch_size]
        else:
            enough = np.searchsorted(np.cumsum(tokens[order]), amount - seen) + 1
            order = order[:enough] if amount > seen else order[:0]
        if not len(order):
            return Plan(tuple(steps), rows / len(ids))
        rows += len(order)
        seen += int(tokens[order].sum())
        epoch += 1
        steps += [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> np.ndarray:
    """N integers: the positions of the examples in the order of one epoch. Equal hashes are ordered by id."""
    keys = [hashlib.blake2b(f"{seed}:{epoch}:{id}".encode(), digest_size=8).digest() for id in ids]
    return np.asarray(sorted(range(len(ids)), key=lambda i: (keys[i], ids[i])), np.int64)


def split_by_length(lengths: np.ndarray, *, most: int, cost: int) -> list[np.ndarray]:
    """Cut the rows of one step into forward passes with the least padding.

    Args:
        lengths: B integers, the tokens of each row.
        most: the largest number of rows in one pass.
        cost: what one more pass costs, in padding tokens.

    Returns:
        For each pass, the positions in `lengths` of its rows. No other cut has a smaller sum of padded tokens and pass
        costs.
    """
    # Some optimal cut takes rows in order of length, so a dynamic programme over the sorted rows finds one: `best[end]`
    # is the least cost of the `end` longest rows, and `cut[end]` where their last pass begins.
    order = np.argsort(-lengths, kind="stable")
    longest = lengths[order]
    best = np.zeros(len(order) + 1)
    cut = np.zeros(len(order) + 1, np.int64)
    for end in range(1, len(order) + 1):
        starts = np.arange(max(0, end - most), end)
        totals = best[starts] + longest[starts] * (end - starts) + cost
        cut[end] = starts[np.argmin(totals)]
        best[end] = np.min(totals)
    parts, end = [], len(order)
    while end:
        parts.append(order[cut[end] : end])
        end = cut[end]
    return parts[::-1]
