"""Loads what a run reads: its pool and its target examples.

The last few pools stay in memory, because neighbouring cells of a grid mostly share them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from selbench.api import LoadedPool, Pool
from selbench.data.commits import Settled, note, noted, settled
from selbench.data.pools import settings_named
from selbench.run.filters import FilteredPool, filtered, forget_filtered
from selbench.run.plugin_call import plugin_call
from selbench.settings import Run


@lru_cache(maxsize=4)
def _load_cached(kind: Callable[..., Any], options: str) -> tuple[LoadedPool, tuple[Settled, ...]]:
    """The pool, and what of the hub it was read from."""
    source = kind(**json.loads(options))
    with noted() as found, plugin_call(source, "load"):
        loaded: LoadedPool = source.load()
    return loaded, tuple(found.values())


def load_pool(config: Any) -> LoadedPool:
    """The whole pool that a configuration describes, without filters. Raises UserError if it cannot be read."""
    kind: Callable[..., Any] = type(config)
    options = json.dumps(dataclasses.asdict(config))
    loaded, of_hub = _load_cached(kind, options)
    if any(settled(one.repository).commit != one.commit for one in of_hub):  # as when an old record is run again
        forget_pools()
        loaded, of_hub = _load_cached(kind, options)
    note(of_hub)
    return loaded


def pool_of(run: Run) -> FilteredPool:
    """The pool that a run selects from, its filters applied. Raises UserError if it cannot be read, or as `filtered` does."""
    return filtered(load_pool(run.pool), run.pool, run, "pool")


def filtered_targets(run: Run) -> dict[str, FilteredPool]:
    """Capability -> its target examples, filters applied; empty, and nothing is read, for a selector that is not targeted."""
    targets = run.targets if run.selector.targeted else {}
    return {
        name: filtered(load_examples(config, f"target.{name}"), config, run, f"target.{name}")
        for name, config in targets.items()
    }


def load_examples(config: Any, place: str) -> LoadedPool:
    """As `load_pool`, for a pool or target at its place (`pool`, `target.NAME`), by which a message calls its settings."""
    if place == "pool":
        return load_pool(config)
    with settings_named(place, f"target '{place.partition('.')[2]}'", type(config)):
        return load_pool(config)


def pools_of(run: Run) -> dict[str, FilteredPool]:
    """The pool, as `pool`, and the targets, each as `target.NAME`, of a run."""
    return {"pool": pool_of(run), **{f"target.{name}": one for name, one in filtered_targets(run).items()}}


def load_target(run: Run) -> dict[str, Pool]:
    """Capability -> its target examples, as `filtered_targets` gives them."""
    return {name: target.pool for name, target in filtered_targets(run).items()}


def forget_pools() -> None:
    """Read and filter every pool anew when it is next asked for."""
    _load_cached.cache_clear()
    forget_filtered()
