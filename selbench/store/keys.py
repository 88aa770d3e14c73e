"""Keys of stages: the hash of everything that can change a stage's files, and of nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any

import selbench

# Raised by hand when the meaning of a stage's files changes.
FORMAT = 2
# The packages whose code computes features and selections. A change of that code computes selections anew, but no
# fine-tuning of the same examples.
SELECTION_ENGINE = ("features", "optimize")


def digest(identity: Any) -> str:
    """A short hash of plain data, the same on every machine: the first 20 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:20]


def derive_seed(seed: int, axis: str) -> int:
    """The seed of one axis ("selection", "training", "evaluation"), so that their random draws are independent."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{axis}".encode()).digest()[:4], "big") >> 1


def plugin_identity(plugin: Any) -> dict[str, Any]:
    """Name, options and source of a plugin instance.

    A plugin whose options name files has an `identity()` that stands for its options and includes what the files hold:
    the framework cannot know which options are files.
    """
    options = plugin.identity() if hasattr(plugin, "identity") else dataclasses.asdict(plugin)
    engine = SELECTION_ENGINE if plugin.plugin_kind == "selector" else ()
    return {"name": plugin.plugin_name, "options": options, "source": _source(inspect.getfile(type(plugin)), engine)}


def spec_identity(spec: Any) -> dict[str, Any]:
    """Name, fields (or what its `identity()` gives) and source of a feature specification."""
    fields = spec.identity() if hasattr(spec, "identity") else dataclasses.asdict(spec)
    source = _source(inspect.getfile(type(spec)), SELECTION_ENGINE)
    return {"name": type(spec).__name__, "fields": fields, "source": source}


@cache
def _source(path: str, engine: tuple[str, ...]) -> str:
    """A hash of the class's own file and its private neighbours (`_*.py`), and of selbench's code that works for it."""
    file = Path(path)
    files = [file, *sorted(file.parent.glob("_[!_]*.py"))]
    return hashlib.sha256("".join(_text_hash(f) for f in files).encode() + _engine(engine).encode()).hexdigest()[:16]


@cache
def _engine(folders: tuple[str, ...]) -> str:
    """A hash of data/chat.py (how a conversation becomes tokens, on which everything rests) and of the given folders.

    Folders are read one level deep: files in a subfolder would not count.
    """
    root = Path(selbench.__file__).parent
    files = [root / "data" / "chat.py", *sorted(file for name in folders for file in (root / name).glob("*.py"))]
    return digest([FORMAT, *(_text_hash(file) for file in files)])


@cache
def _text_hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
