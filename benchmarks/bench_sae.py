"""The sparse autoencoder on the planted pool: what training costs and reaches, tagging against the bare forward pass,
and the two selection rules at the size of Alpaca.

    python benchmarks/bench_sae.py [--scorer FOLDER] [--rows 2000] [--tokens N ...]

Processor time beside wall time, because a shared machine makes the latter noise. On two busy cores torch is faster
with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from selbench_plugins.selectors.sae_greedselect import greedselect

from selbench.api import Context, ModelRef, Pool
from selbench.features.activations import PooledActivations
from selbench.features.sae import SparseAutoencoder
from selbench.features.sae_tags import SaeTags
from selbench.optimize.simscale import threshold_walk
from selbench.planted.pool import PlantedPool

PLANTED = Path(__file__).parents[1] / "selbench" / "planted" / "models" / "planted-1m"


def timed(work: Callable[[], Any]) -> tuple[Any, str]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, f"{time.perf_counter() - wall:7.2f} s wall {time.process_time() - processor:7.2f} s processor"


def training(pool: Pool, scorer: ModelRef, budgets: list[int | None]) -> Any:
    """The features of the last budget."""
    feature: Any = None
    for tokens in budgets:
        context = Context(pool, scorer=scorer)
        feature, spent = timed(lambda: SparseAutoencoder(tokens=tokens).compute(pool, context))  # noqa: B023
        seen = context.logged
        print(
            f"train {int(seen['sae_trained_tokens']):8d} tokens {int(seen['sae_steps']):4d} steps  {spent}  "
            f"FVU {seen['sae_fvu']:.3f}  L0 {seen['sae_l0']:.1f}  dead {seen['sae_dead_share']:.1%}"
        )
    return feature


def tagging(pool: Pool, scorer: ModelRef, feature: Any) -> None:
    context = Context(pool, scorer=scorer, feature_store=lambda spec, of, inner: feature)
    bare = PooledActivations(layers=str(int(feature["layer"])), positions="all", pooling="mean", response=True)
    for name, spec in (("mean of one layer", bare), ("tags", SaeTags(SparseAutoencoder()))):
        spec.compute(pool, context)
        _, spent = timed(lambda: spec.compute(pool, context))  # noqa: B023
        print(f"{name:18s} {len(pool)} rows  {spent}")


def rules(rows: int, tags: int, picks: int) -> None:
    """Random rows whose tags are as unequal in frequency as those of real text."""
    rng = np.random.default_rng(0)
    popular = 1 / np.arange(1, tags + 1)
    drawn = rng.choice(tags, (rows, 200), p=popular / popular.sum())
    lists = [np.unique(row[:n]) for row, n in zip(drawn, rng.integers(20, 200, rows))]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])])
    indices = np.concatenate(lists).astype(np.int32)
    order = np.argsort(-np.diff(indptr), kind="stable")
    print(f"rules on {rows} rows, {tags} tags, {len(indices)} entries, {picks} picks")
    work: dict[str, Callable[[], Any]] = {
        "greedselect": lambda: greedselect(indptr, indices, tags, picks),
        "simscale union": lambda: threshold_walk(indptr, indices, tags, picks, order=order),
        "simscale rising": lambda: threshold_walk(indptr, indices, tags, picks, order=order, rise=0.05),
        "simscale all rows": lambda: threshold_walk(indptr, indices, tags, rows, order=order),
        "simscale pairwise": lambda: threshold_walk(indptr, indices, tags, picks, order=order, similarity="pairwise"),
    }
    for name, rule in work.items():
        found, spent = timed(rule)
        passes = f"{found.passes.max()} passes" if hasattr(found, "passes") else f"{found[2] + 1} rounds"
        print(f"{name:18s} {spent}  {passes}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorer", default=str(PLANTED))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--tokens", type=int, nargs="*", default=[50_000, 100_000])
    given = parser.parse_args()
    rules(52_002, 8192, 7800)
    examples = PlantedPool(size=given.rows).load().pool
    through = ModelRef(Path(given.scorer).name, given.scorer, max_length=512)
    tagging(examples, through, training(examples, through, [*given.tokens, None]))
