"""Computes one stage that several runs share, or a shard of one: what they would otherwise compute, or wait for, in turn."""

from __future__ import annotations

from collections.abc import Sequence

from selbench.api import Context
from selbench.declare import features_with_inner
from selbench.run.features import FeatureStage, feature_provider, shard_result
from selbench.run.inputs import load_target, pool_of
from selbench.run.leak_check import LeakStage
from selbench.run.select import context_seed, selection_of
from selbench.run.tokens import TokenCounts
from selbench.run.training_lengths import TrainingLengths
from selbench.settings import Run
from selbench.store.stages import Store


def compute_stage(kind: str, key: str, runs: Sequence[Run], store: Store) -> None:
    """Compute a stage of this kind and key, as the runs would that share it; nothing if the store has it.

    Raises what the plugin raises that does the work, and ValueError for a stage that is none of the runs'.
    """
    run = runs[0]
    if kind == "tokens":
        TokenCounts.of(run).result(store)
    elif kind == "lengths":
        TrainingLengths(pool_of(run).pool, run.model).result(store)
    elif kind == "leaks":
        _leak_stage(run, key).result(store)
    elif kind == "selection":
        tokens = TokenCounts.of(run).result(store)
        for one in runs:  # one ranking serves all budgets, and a shorter one than the longest is checked against it
            selection_of(one, tokens, store)
    else:
        _compute_feature(run, key, store)


def _leak_stage(run: Run, key: str) -> LeakStage:
    for suite in run.model_suites.values():
        for examples in (pool_of(run).pool, *load_target(run).values()):
            stage = LeakStage(examples, suite)
            if stage.key == key:
                return stage
    raise ValueError(f"no leak check with the key {key}")


def _compute_feature(run: Run, key: str, store: Store) -> None:
    pool = pool_of(run).pool
    for spec in features_with_inner(run.selector, context_seed(run.selector, run.seed)):
        scorer = run.scorer if spec.needs_scorer else None
        feature, provide = FeatureStage(spec, pool, scorer), feature_provider(store, [], run.feature_shards)
        if feature.key == key:
            provide(spec, pool, Context(pool, scorer=scorer))
            return
        if shard := next((shard for shard in feature.shards(run.feature_shards) if shard.key == key), None):
            # Another sweep may have finished the feature, and discarded its shards, since this one was planned.
            if not store.finished(feature.kind, feature.key):
                shard_result(feature, shard, store, provide)
            return
    raise ValueError(f"no feature with the key {key}")
