"""Reading the pool of a record again for the texts of its examples, if that is quick and the data are unchanged."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench.errors import UserError
from selbench.plugins import Registry, discover, recorded_plugin_path, recorded_pools
from selbench.store.records import Record

LENGTH = 200  # characters of a text that a preview shows


def pool_of(record: Record) -> Any:
    """The pool (api.Pool) that the record selected from.

    None if its plugin is missing or says that reading it is not quick, if the data have changed since, or for a pool of
    which a filter left out some, except in the process that has carried out the run.
    """
    from selbench.run.filters import filtered_in_memory

    if record.filters.get("pool"):  # without its suites it cannot be filtered again
        return filtered_in_memory(record.axes.pool_key)
    kind, _ = recorded_pools(record.config)
    return _quick_pool(record, kind, record.config.get("pool") or {}, record.axes.pool_key)


def target_of(record: Record, capability: str) -> Any:
    """The target examples (api.Pool) of a capability; None if their plugin is missing, reading them is not quick, or a
    filter left out some."""
    if f"target.{capability}" in record.filters:
        return None
    _, kinds = recorded_pools(record.config)
    return _quick_pool(record, kinds.get(capability, ""), (record.config.get("target") or {}).get(capability) or {}, "")


def preview(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 2 * LENGTH].split())
    return line if len(text) <= LENGTH and len(line) <= LENGTH else line[: LENGTH - 1] + "…"


def _quick_pool(record: Record, kind: str, options: Mapping[str, Any], key: str) -> Any:
    from selbench.run.inputs import load_pool  # cached: the process that has just run the cell does not read it again

    plugin = _pool_plugins(tuple(recorded_plugin_path(record.config))).plugins.get(("pool", kind))
    if plugin is None or not set(options) <= {item.name for item in dataclasses.fields(plugin.cls)}:
        return None
    told = logging.getLogger("selbench.data")
    level = told.level
    told.setLevel(logging.ERROR)  # warnings about the data have been shown when the examples were selected
    try:
        named = plugin.cls(**options)
        pool = load_pool(named).pool if getattr(named, "quick", False) else None
    except (UserError, OSError):
        return None  # moved or removed since
    finally:
        told.setLevel(level)
    return pool if pool and (not key or pool.fingerprint.startswith(key)) else None


@lru_cache(maxsize=4)
def _pool_plugins(folders: tuple[str, ...]) -> Registry:
    return discover((folder for folder in folders if Path(folder).expanduser().is_dir()), anew=False)
