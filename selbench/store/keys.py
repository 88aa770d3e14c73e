"""Keys of stages: the hash of everything that can change a stage's files, and of nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from selbench.declare import features_needed
from selbench.errors import UserError
from selbench.held import Part
from selbench.store.code import code_hash

# Raised by hand when the meaning of a stage's files changes.
FORMAT = 2


def digest(identity: Any) -> str:
    """A short hash of plain data, the same on every machine: the first 20 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:20]


def derive_seed(seed: int, axis: str) -> int:
    """The seed of one axis ("selection", "training", "evaluation"), so that their random draws are independent."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{axis}".encode()).digest()[:4], "big") >> 1


def plugin_identity(plugin: Any) -> dict[str, Any]:
    """Name, options and code of a plugin instance, and of the parts that it is made of or says it needs.

    A plugin whose options name files has an `identity()` that stands for its options and includes what the files hold:
    the framework cannot know which options are files.
    """
    needed = _announced(plugin)
    about = {"name": plugin.plugin_name, "options": _fields(plugin), **_code(plugin)}
    return {**about, "needs": needed} if needed else about


def options_key(identity: Mapping[str, Any]) -> str:
    """The hash of what `plugin_identity` gives without the code: name and options."""
    return digest([identity["name"], identity["options"]])


def spec_identity(spec: Any) -> dict[str, Any]:
    """Name, fields (or what its `identity()` gives) and code of a feature specification."""
    return {"name": type(spec).__name__, "fields": _fields(spec), **_code(spec)}


def _fields(thing: Any) -> Any:
    return thing.identity() if hasattr(thing, "identity") else dataclasses.asdict(thing)


def _announced(plugin: Any) -> list[dict[str, Any]]:
    """The identities of the features that a selector says it needs. Raises UserError for one that names a missing file.

    Their seed is beside the point here: it is in the key of a selection where that depends on it.
    """
    try:
        return [spec_identity(spec) for spec in features_needed(plugin, 0)]
    except UserError:
        raise
    except Exception:  # anybody's method: what is wrong with it shows, in words, where the features are asked for
        return []


def _code(thing: Any) -> dict[str, Any]:
    """The code of an object and of the parts that its fields hold, and the versions of the libraries that it names."""
    values = [getattr(thing, item.name, None) for item in dataclasses.fields(thing)]
    parts = [
        {
            "name": type(part).__qualname__,
            **_code(part),
            "fields": part.identity() if hasattr(part, "identity") else None,
        }
        for part in _parts(values)
    ]
    about = {"source": digest([FORMAT, code_hash(type(thing))]), "parts": parts, "libraries": _versions(thing)}
    return {name: value for name, value in about.items() if value}


def _parts(value: Any) -> Iterator[Any]:
    """The dataclass instances among values, at any depth of lists and mappings."""
    if isinstance(value, Part):  # which only carries a selector; its number is among the options
        yield from _parts(value.selector)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(item)


def _versions(thing: Any) -> dict[str, str | None]:
    """Library -> installed version, of the `libraries` that a plugin or spec names; they are not imported."""
    named = getattr(thing, "libraries", None) or ()
    return {str(name): _version(str(name)) for name in ([named] if isinstance(named, str) else sorted(named))}


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:  # not installed, or no name of a distribution at all
        return None
