"""The features that a selector asks for, each a stage of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from selbench.api import Context, Feature, FeatureSpec, ModelRef, Pool
from selbench.models import fingerprint
from selbench.run.stage import RunStage
from selbench.store.files import load_arrays, save_arrays, scratch_in
from selbench.store.keys import spec_identity
from selbench.store.stages import Stage, Store


@dataclass(frozen=True, eq=False)
class FeatureStage(RunStage):
    """One feature over one pool; `scorer` is None for a feature that does not look through a model."""

    spec: FeatureSpec
    pool: Pool
    scorer: ModelRef | None

    @property
    def kind(self) -> str:  # type: ignore[override]
        """`features`, unless the feature says that it is of another kind (an autoencoder)."""
        return str(getattr(self.spec, "stage_kind", "features"))

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "spec": spec_identity(self.spec),
            "pool": self.pool.fingerprint,
            "scorer": fingerprint(self.scorer) if self.scorer else None,
        }


def feature_provider(store: Store, used: list[Stage]) -> Callable[[FeatureSpec, Pool, Context], Feature]:
    """A provider of cached features for a Context; the stages that it hands out are appended to `used`."""

    def provide(spec: FeatureSpec, pool: Pool, context: Context) -> Feature:
        wanted = FeatureStage(spec, pool, context.scorer if spec.needs_scorer else None)

        def compute(folder: Any) -> dict[str, float]:
            kept = store.checkpoint(wanted.kind, wanted.identity)
            # Features may build on features.
            with scratch_in(folder) as scratch:
                inner = Context(pool, scorer=wanted.scorer, scratch=scratch, checkpoint=kept, feature_store=provide)
                save_arrays(folder, spec.compute(pool, inner))
            return inner.logged

        stage = store.stage(wanted.kind, wanted.identity, compute)
        used.append(stage)
        return load_arrays(stage.path)

    return provide
