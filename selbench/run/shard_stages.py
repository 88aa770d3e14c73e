"""Shards of a feature as stages: computed apart, resumed apart, merged by row, and then discarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from selbench.api import Context, Feature, FeatureSpec, Pool, ShardedFeatureSpec
from selbench.errors import PluginError
from selbench.run.stage import RunStage
from selbench.store.files import load_arrays, read_json
from selbench.store.stages import MANIFEST, Store

EXAMPLES = "examples"  # the array of a shard that says which examples of the pool are its rows


class UnfitShardsError(PluginError):
    """Shards that do not make up the pool."""


@dataclass(frozen=True, eq=False)
class ShardStage(RunStage):
    """One shard of a feature."""

    feature: str  # the key of the feature
    shard: int  # its number, from 0
    of: int  # how many there are
    kind: ClassVar[str] = "shards"

    @property
    def identity(self) -> dict[str, Any]:
        return {"feature": self.feature, "shard": self.shard, "of": self.of}


def shards_of(feature: str, spec: FeatureSpec, count: int) -> list[ShardStage]:
    """The shards in which the feature with this key is computed; none if it is computed as a whole.

    That is so for `feature_shards=1`, and for a feature without the methods of ShardedFeatureSpec or that is not `divisible`.
    """
    whole = count == 1 or not (hasattr(spec, "compute_shard") and hasattr(spec, "merge_shards"))
    if whole or not getattr(spec, "divisible", True):
        return []
    return [ShardStage(feature, shard, count) for shard in range(count)]


def compute_shard(spec: FeatureSpec, stage: ShardStage, pool: Pool, context: Context) -> Feature:
    """The arrays of one shard. Raises PluginError unless they say which examples they are of."""
    arrays = cast(ShardedFeatureSpec, spec).compute_shard(pool, context, stage.shard, stage.of)
    examples = np.asarray(arrays.get(EXAMPLES)) if isinstance(arrays, Mapping) else np.asarray(None)
    inside = examples.ndim == 1 and (
        not examples.size or (examples.dtype.kind in "iu" and examples.min() >= 0 and examples.max() < len(pool))
    )
    if not inside:
        raise PluginError(
            f"feature '{type(spec).__name__}': compute_shard() has to return arrays by name, one of which is `{EXAMPLES}`: "
            f"positions in the pool, from 0 to {len(pool) - 1}."
        )
    return {**arrays, EXAMPLES: examples.astype(np.int64)}


def merge_shards(spec: FeatureSpec, folders: Sequence[Path], pool: Pool, context: Context) -> Feature:
    """The feature, from the folders of all its shards; their arrays are mapped into memory.

    Raises UnfitShardsError unless these hold each example of the pool once.
    """
    shards = [load_arrays(folder) for folder in folders]
    times = sum(np.bincount(shard[EXAMPLES], minlength=len(pool)) for shard in shards)
    if np.any(times != 1):
        raise UnfitShardsError(
            f"feature '{type(spec).__name__}': of {len(pool)} examples of pool '{pool.name}' its shards hold "
            f"{int(np.sum(times == 0))} not at all and {int(np.sum(times > 1))} several times. They were discarded. Either its "
            "compute_shard() is wrong, or they were computed on devices of different kinds, which cut a pool into other batches."
        )
    return cast(ShardedFeatureSpec, spec).merge_shards([one for one in shards if len(one[EXAMPLES])], pool, context)


def discard_shards(store: Store, feature: str) -> None:
    """Delete the shards of a feature, of whatever number, but for those that a process is at work on."""
    for folder in (store.root / ShardStage.kind).glob("[!.]*"):
        manifest = read_json(folder / MANIFEST)
        if manifest and manifest["identity"].get("feature") == feature:
            store.discard(ShardStage.kind, folder.name)
