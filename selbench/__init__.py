"""selbench: which data-selection method should you use for instruction tuning?

The vocabulary is importable from here, and loaded when it is first asked for: `import selbench` alone stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from selbench.api import (
        Budget,
        Chosen,
        Context,
        Example,
        Feature,
        FeatureSpec,
        LoadedPool,
        ModelRef,
        NotApplicable,
        NotAtHand,
        Part,
        PluginError,
        Pool,
        PoolSource,
        Score,
        Selection,
        SelectionSuite,
        Selector,
        ShardedFeatureSpec,
        Suite,
        Trainer,
        UserError,
        held_parts,
        name_and_options,
        pool,
        selector,
        suite,
        trainer,
    )

__all__ = [
    "Budget",
    "Chosen",
    "Context",
    "Example",
    "Feature",
    "FeatureSpec",
    "LoadedPool",
    "ModelRef",
    "NotApplicable",
    "NotAtHand",
    "Part",
    "PluginError",
    "Pool",
    "PoolSource",
    "Score",
    "Selection",
    "SelectionSuite",
    "Selector",
    "ShardedFeatureSpec",
    "Suite",
    "Trainer",
    "UserError",
    "__version__",
    "held_parts",
    "name_and_options",
    "pool",
    "selector",
    "suite",
    "trainer",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("selbench.api"), name)
    raise AttributeError(f"module 'selbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
