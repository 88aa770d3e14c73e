"""What a run reads: its pool and its target examples, kept in memory because neighbouring cells of a grid share them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from selbench.api import LoadedPool, Pool
from selbench.run.plugin_call import plugin_call
from selbench.settings import Run


@lru_cache(maxsize=4)
def _load(kind: Callable[..., Any], options: str) -> LoadedPool:
    source = kind(**json.loads(options))
    with plugin_call(source, "load"):
        loaded: LoadedPool = source.load()
    return loaded


def load_pool(config: Any) -> LoadedPool:
    """The pool of a configuration; the last four are kept. Raises UserError if it cannot be read."""
    kind: Callable[..., Any] = type(config)
    return _load(kind, json.dumps(dataclasses.asdict(config)))


def forget_pools() -> None:
    """Read every pool anew when it is next asked for."""
    _load.cache_clear()


def load_target(run: Run) -> dict[str, Pool]:
    """The target examples per capability; nothing is read for a selector that may not look at them."""
    return {name: load_pool(config).pool for name, config in run.targets.items()} if run.selector.targeted else {}
