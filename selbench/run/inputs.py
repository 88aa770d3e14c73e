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
from selbench.settings import Run


@lru_cache(maxsize=4)
def _load_cached(kind: Callable[..., Any], options: str) -> LoadedPool:
    loaded: LoadedPool = kind(**json.loads(options)).load()
    return loaded


def load_pool(config: Any) -> LoadedPool:
    """The pool that a configuration describes. Raises UserError if it cannot be read."""
    kind: Callable[..., Any] = type(config)
    return _load_cached(kind, json.dumps(dataclasses.asdict(config)))


def load_target(run: Run) -> dict[str, Pool]:
    """Capability -> its target examples; empty, and nothing is read, for a selector that is not targeted."""
    return {name: load_pool(config).pool for name, config in run.targets.items()} if run.selector.targeted else {}
