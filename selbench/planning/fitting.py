"""What the training contexts of a grid will cut off: said before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from selbench.models import fingerprint, light_tokenizer, plain_is_shorter
from selbench.planning.demands import Demand, Grid
from selbench.planning.measured import MeasuredPools
from selbench.planning.stand_ins import StatedPool
from selbench.run.inputs import pool_of
from selbench.run.training_lengths import Lengths, context_of
from selbench.store.facts import TrainingFacts
from selbench.store.keys import digest


def cut_sentences(grid: Grid, measured: MeasuredPools) -> Iterator[tuple[bool, str]]:
    """A sentence for each pool, model and context that cuts anything, and for each selection that is known and of which
    much is cut; whether it is much, first. An unmeasured pool is told as well.
    """
    told: set[str] = set()
    for demand in grid.demands.values():
        if demand.stage != "training":
            continue
        run = demand.run
        pool, context = pool_of(run).pool, context_of(run)
        place = digest([pool.fingerprint, fingerprint(run.model)])
        found = measured.measured(pool, run.model)
        where = f"{run.model.name} on pool {run.pool.name}"
        if (setting := digest([place, context.tokens])) not in told:
            told.add(setting)
            yield from _of_pool(found, len(pool), demand, where)
        if found and len(found[1]) == len(pool) and demand.positions is not None and len(demand.positions) < len(pool):
            facts = found[0].facts(demand.positions, context)
            if facts.loses_much:
                yield True, f"{demand.label}: {facts.losses}"


def _of_pool(
    found: tuple[Lengths, np.ndarray] | None, size: int, demand: Demand, where: str
) -> Iterator[tuple[bool, str]]:
    context = context_of(demand.run)
    if found is None:
        missing = (
            "the pool is at hand" if isinstance(pool_of(demand.run).pool, StatedPool) else "its tokenizer is loaded"
        )
        yield False, f"{where}: what {context.tokens:,} tokens ({context.limit}) cut is known once {missing}."
        return
    lengths, sample = found
    facts: TrainingFacts = lengths.facts(np.arange(len(sample)), context)
    if facts.losses:
        of = "the whole pool" if len(sample) == size else f"{len(sample):,} examples of {size:,}"
        much = facts.loses_much
        yield (
            much,
            f"{where}: {facts.losses} Measured on {of}"
            + (f"; {context.advice(_plain_is_shorter(demand))}." if much else "."),
        )


def _plain_is_shorter(demand: Demand) -> bool:
    tokenizer = light_tokenizer(demand.run.model)
    return tokenizer is not None and plain_is_shorter(tokenizer)
