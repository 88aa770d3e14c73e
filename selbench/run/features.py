"""Features as stages: each feature that a selector asks its context for is computed once and cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selbench.api import Context, Feature, FeatureSpec, ModelRef, Pool
from selbench.models import fingerprint
from selbench.run.shard_stages import (
    ShardStage,
    UnfitShardsError,
    compute_shard,
    discard_shards,
    merge_shards,
    shards_of,
)
from selbench.run.stage import RunStage
from selbench.store.files import load_arrays, save_arrays, scratch_in
from selbench.store.keys import spec_identity
from selbench.store.stages import Stage, Store

Provider = Callable[[FeatureSpec, Pool, Context], Feature]


@dataclass(frozen=True, eq=False)
class FeatureStage(RunStage):
    """One feature of one pool."""

    spec: FeatureSpec
    pool: Pool
    scorer: ModelRef | None  # None for a feature that is computed without a model

    @property
    def kind(self) -> str:  # type: ignore[override]
        """`features`, unless the feature names another kind in `stage_kind` (as a sparse autoencoder does)."""
        return str(getattr(self.spec, "stage_kind", "features"))

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "spec": spec_identity(self.spec),
            "pool": self.pool.fingerprint,
            "scorer": fingerprint(self.scorer) if self.scorer else None,
        }

    def shards(self, count: int) -> list[ShardStage]:
        """Its shards under `feature_shards=count`; none if it is computed as a whole."""
        return shards_of(self.key, self.spec, count)

    def computed_into(
        self, folder: Path, kept: Path, provide: Provider, compute: Callable[[Pool, Context], Feature]
    ) -> Mapping[str, float]:
        """Save the arrays that `compute` gives in the folder. Returns the numbers that it has logged.

        `compute` gets a context of its own, with the features of `provide`, as a feature may build on others; `kept` is the
        folder of its checkpoint.
        """
        with scratch_in(folder) as scratch:
            context = Context(self.pool, scorer=self.scorer, scratch=scratch, checkpoint=kept, feature_store=provide)
            save_arrays(folder, compute(self.pool, context))
        return context.logged


def feature_provider(store: Store, used: list[Stage], shards: int = 1) -> Provider:
    """The function from which a Context gets its features, cached in the store. Each stage it reads is added to `used`.

    A feature that can be cut is computed in so many `shards`, one after the other, and those that are in the store are used.
    """

    def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        wanted = FeatureStage(spec, pool, context.scorer if spec.needs_scorer else None)
        cut = wanted.shards(shards)

        def compute(folder: Path) -> Mapping[str, float]:
            parts = [shard_result(wanted, shard, store, provide).path for shard in cut]
            kept = store.checkpoint(wanted.kind, wanted.identity)
            work = partial(merge_shards, spec, parts) if cut else spec.compute
            return wanted.computed_into(folder, kept, provide, work)

        try:
            stage = store.stage(wanted.kind, wanted.identity, compute)
        except UnfitShardsError:  # they would not fit the next time either
            discard_shards(store, wanted.key)
            raise
        if not stage.reused:  # also those of another number, which an interrupted command has left
            discard_shards(store, wanted.key)
        used.append(stage)
        return load_arrays(stage.path)

    return provide


def shard_result(feature: FeatureStage, shard: ShardStage, store: Store, provide: Provider) -> Stage:
    """One shard of a feature, computed if the store does not have it, with the features of `provide`."""

    def compute(folder: Path) -> Mapping[str, float]:
        kept = store.checkpoint(shard.kind, shard.identity)
        return feature.computed_into(folder, kept, provide, partial(compute_shard, feature.spec, shard))

    return store.part(shard.kind, shard.identity, compute)
