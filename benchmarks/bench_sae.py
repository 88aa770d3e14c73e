"""The sparse autoencoder on the planted pool: cost and quality of training, cost of tagging, cost of the selection rules.

    python benchmarks/bench_sae.py [--scorer FOLDER] [--rows 2000] [--tokens N ...]

Tagging is compared with the mean activations of the same layer; the rules run at the size of Alpaca. Processor time is
printed beside wall time, which other work on the machine distorts. On two busy cores torch is faster with
OMP_NUM_THREADS=1.
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
    """The result of `work` and the time it took, in words."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, f"{time.perf_counter() - wall:7.2f} s wall {time.process_time() - processor:7.2f} s processor"


def measure_training(pool: Pool, scorer: ModelRef, lengths: list[int | None]) -> Any:
    """Train once for each length, in tokens (None: the default), and print what came of it; return the last feature."""
    feature: Any = None
    for tokens in lengths:
        context = Context(pool, scorer=scorer)
        feature, spent = timed(lambda: SparseAutoencoder(tokens=tokens).compute(pool, context))  # noqa: B023
        seen = context.logged
        print(
            f"train {int(seen['sae_trained_tokens']):8d} tokens {int(seen['sae_steps']):4d} steps  {spent}  "
            f"FVU {seen['sae_fvu']:.3f}  L0 {seen['sae_l0']:.1f}  dead {seen['sae_dead_share']:.1%}"
        )
    return feature


def measure_tagging(pool: Pool, scorer: ModelRef, feature: Any) -> None:
    """Print the time of tagging with a trained autoencoder and that of reading the mean of the same layer."""
    context = Context(pool, scorer=scorer, feature_store=lambda spec, of, inner: feature)
    bare = PooledActivations(layers=str(int(feature["layer"])), positions="all", pooling="mean", response=True)
    for name, spec in (("mean of one layer", bare), ("tags", SaeTags(SparseAutoencoder()))):
        spec.compute(pool, context)  # warms up
        _, spent = timed(lambda: spec.compute(pool, context))  # noqa: B023
        print(f"{name:18s} {len(pool)} rows  {spent}")


def measure_rules(rows: int, tags: int, picks: int) -> None:
    """Print the time of each selection rule on random rows; the frequency of a tag falls with its rank, as of words."""
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
    parser.add_argument("--scorer", default=str(PLANTED), help="folder of the scorer (default: planted-1m)")
    parser.add_argument("--rows", type=int, default=2000, help="size of the planted pool (default 2000)")
    parser.add_argument(
        "--tokens",
        type=int,
        nargs="*",
        default=[50_000, 100_000],
        help="tokens of each training; one of default length follows",
    )
    given = parser.parse_args()
    measure_rules(52_002, 8192, 7800)
    examples = PlantedPool(size=given.rows).load().pool
    through = ModelRef(Path(given.scorer).name, given.scorer, max_length=512)
    measure_tagging(examples, through, measure_training(examples, through, [*given.tokens, None]))
