"""Features as stages: each feature that a selector asks its context for is computed once and cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selbench.api import Context, Feature, FeatureSpec, ModelRef, Pool
from selbench.models import fingerprint
from selbench.run.stage import RunStage
from selbench.store.files import load_arrays, save_arrays
from selbench.store.keys import spec_identity
from selbench.store.stages import Stage, Store


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


def feature_provider(store: Store, used: list[Stage]) -> Callable[[FeatureSpec, Pool, Context], Feature]:
    """The function from which a Context gets its features, cached in the store. Each stage it reads is added to `used`."""

    def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        wanted = FeatureStage(spec, pool, context.scorer if spec.needs_scorer else None)

        def compute(folder: Any) -> dict[str, float]:
            kept = store.checkpoint(wanted.kind, wanted.identity)
            # The feature gets a context of its own, with the same provider: it may build on other features.
            inner = Context(pool, scorer=wanted.scorer, scratch=folder, checkpoint=kept, feature_store=provide)
            save_arrays(folder, spec.compute(pool, inner))
            return inner.logged

        stage = store.stage(wanted.kind, wanted.identity, compute)
        used.append(stage)
        return load_arrays(stage.path)

    return provide
