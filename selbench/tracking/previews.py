"""The pool of a record read once more, for the texts of its examples; only where that is quick and still the same data."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selbench.errors import UserError
from selbench.store.records import Record

QUICK = 100_000_000  # bytes of a pool's file that is read for previews
LENGTH = 200  # characters shown of a text


def pool_of(record: Record) -> Any:
    """The pool (api.Pool) that the record selected from; None if reading it takes long or a network, or it has changed."""
    return _load(record.config.get("pool") or {}, record.axes.pool_key)


def target_of(record: Record, capability: str) -> Any:
    """The target examples of a capability, under the same conditions."""
    return _load((record.config.get("target") or {}).get(capability) or {}, "")


def preview(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 2 * LENGTH].split())
    return line if len(text) <= LENGTH and len(line) <= LENGTH else line[: LENGTH - 1] + "…"


def _load(options: Mapping[str, Any], key: str) -> Any:
    from selbench.run.inputs import load_pool  # in the process that has just run the cell, the pool is still there

    kind = _kind(options)
    if kind is None:
        return None
    told = logging.getLogger("selbench.data")
    level = told.level
    told.setLevel(logging.ERROR)  # what there is to say of the data was said when it was selected from
    try:
        pool = load_pool(kind(**options)).pool
    except (UserError, OSError):
        return None  # moved or gone since
    finally:
        told.setLevel(level)
    return pool if not key or pool.fingerprint.startswith(key) else None


def _kind(options: Mapping[str, Any]) -> Any:
    from selbench.config import FilePool, PlantedPool

    for kind in (PlantedPool, FilePool):
        if options and set(options) <= {item.name for item in dataclasses.fields(kind)}:
            break
    else:
        return None
    if kind is PlantedPool:
        return kind
    path = Path(options.get("path") or "").expanduser()
    return kind if options.get("path") and path.is_file() and path.stat().st_size <= QUICK else None
