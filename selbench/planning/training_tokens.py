"""How many tokens a fine-tuning sees: of the examples that are selected or likely to be, after cutting and dropping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from selbench.api import Pool
from selbench.planning.demands import Demand
from selbench.planning.measured import PoolLengths
from selbench.planning.past import Past
from selbench.planning.stand_ins import StatedPool
from selbench.store.keys import digest, plugin_identity


@dataclass(frozen=True)
class TrainingTokens:
    """What one fine-tuning goes through."""

    seen: float  # tokens through the model, over all epochs
    response: float  # tokens in the loss, in one epoch
    source: str  # whose tokens they are, for people


@dataclass(frozen=True, eq=False)
class Likely:
    """The positions in the pool of the examples that a fine-tuning is likely to be of; how many they stand for."""

    positions: np.ndarray
    count: float
    source: str


def training_tokens(demand: Demand, pool: Pool, lengths: PoolLengths, context: int, past: Past) -> TrainingTokens:
    """The tokens of a planned fine-tuning under a training context."""
    likely = likely_examples(demand, pool, lengths, past)
    tokens, in_loss = (values[likely.positions] for values in lengths.kept(context))
    trained = in_loss > 0
    if not trained.any():
        return TrainingTokens(0.0, 0.0, likely.source)
    share = likely.count / len(likely.positions)
    rows, response = share * float(trained.sum()), share * float(in_loss.sum())
    seen = _rows_seen(demand.plugin, rows, float(in_loss[trained].mean())) * float(tokens[trained].mean())
    source = ", ".join(part for part in (f"tokens of {likely.source}", lengths.source) if part)
    return TrainingTokens(seen, response, source)


def _rows_seen(trainer: Any, rows: float, response: float) -> float:
    """How many examples pass through the model, by what the trainer's `match` says is equal between arms.

    `rows` are left after dropping, with `response` tokens in the loss each.
    """
    match = getattr(trainer, "match", "epochs")
    if match == "steps":
        return float(trainer.steps * getattr(trainer, "batch_size", 1))
    if match == "tokens":
        return float(trainer.tokens / max(1.0, response))
    return rows * float(getattr(trainer, "epochs", 1.0))


def likely_examples(demand: Demand, pool: Pool, lengths: PoolLengths, past: Past) -> Likely:
    """The selected examples where they are known; else those that the selector says are likely, else those of past
    selections of the same arm from this pool, else the whole pool."""
    if demand.positions is not None:
        known = "the whole pool" if len(demand.positions) == len(pool) else "the selected examples"
        return Likely(demand.positions, float(len(demand.positions)), known)
    if isinstance(pool, StatedPool):  # all its examples have the mean length
        return Likely(np.zeros(1, np.int64), demand.picks, "the pool's mean example")
    ranking = _likely_ranking(demand, pool, lengths)
    if ranking is not None and demand.budget is not None:
        taken = demand.budget.take(ranking)
        return Likely(
            taken, float(len(taken)), f"the examples that {demand.run.selector.plugin_name} is likely to select"
        )
    if before := _past_choices(demand, pool, past):
        count = len(before)
        sizes = [len(positions) for positions in before]
        # A budget in tokens buys as many examples as it did before; the mean of past choices, for seeds differ.
        picks = float(np.mean(sizes)) if demand.budget is not None and demand.budget.unit == "tokens" else demand.picks
        return Likely(np.concatenate(before), picks, f"{count} past selection{'s' if count > 1 else ''} of this arm")
    return Likely(np.arange(len(pool)), demand.picks, "the pool's mean example")


def _likely_ranking(demand: Demand, pool: Pool, lengths: PoolLengths) -> np.ndarray | None:
    """What the selector's optional method `likely_ranking` says; None without one, or if it fails."""
    ask = getattr(demand.run.selector, "likely_ranking", None)
    if ask is None:
        return None
    try:
        found = np.asarray(ask(pool, lengths.in_loss.copy()), np.int64)
        return found if np.array_equal(np.sort(found), np.arange(len(pool))) else None
    except Exception:  # a guess of a plugin's own: without it the pool's mean stands
        return None


def _past_choices(demand: Demand, pool: Pool, past: Past) -> list[np.ndarray]:
    """The positions that past selections of the same selector, options and pool chose within this budget, or, where
    they are too short, chose at the nearest one."""
    about = plugin_identity(demand.run.selector)
    wanted = about["name"], digest(about["options"]), pool.fingerprint
    found = [chosen for chosen in past.selections(*wanted) if demand.budget and chosen.unit == demand.budget.unit]
    rows = [[pool.position(id) for id in chosen.ids] for chosen in found]
    ranked = [np.asarray(row, np.int64) for row in rows if row]
    if not ranked or demand.budget is None:
        return []
    # One budget's own selection, or a ranking that is cut to it, is as good as this one; of the others the longest.
    least = 0.9 * demand.picks
    enough = [row for row in ranked if len(row) >= least]
    if demand.run.selector.nested:
        return [demand.budget.take(row) for row in enough] or [max(ranked, key=len)]
    near = min(ranked, key=lambda row: abs(np.log(len(row) / max(1.0, demand.picks))))
    return [row for row in ranked if len(row) == len(near)]
