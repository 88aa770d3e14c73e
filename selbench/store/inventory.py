"""What the store holds, what rests on what, what is damaged, and what nobody needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from selbench.store.files import read_json
from selbench.store.locks import Locks
from selbench.store.stages import DROPPED, MANIFEST, verify

# What the folder of a kind of stage was called by versions that wrote records without a format version.
FORMER_FOLDERS = {"training": "model"}


@dataclass(frozen=True)
class Entry:
    """One stage, or what an interrupted process left (`state` is then "left behind").

    `bytes` on disk; `age_s` since it was made; `inputs` ("kind/name") it was made from; `runs` (keys) that rest on it.
    """

    kind: str
    name: str
    path: Path
    state: str
    bytes: int
    age_s: float
    inputs: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def stage_path(root: Path, label: str, name: str) -> Path:
    """The folder of a stage as a record names it: `features/0`, `selection`, `training`, `evaluation/planted`."""
    kind = label.partition("/")[0]
    former = root / FORMER_FOLDERS.get(kind, kind) / name
    return former if former.is_dir() else root / kind / name


def damaged(root: Path, stages: Mapping[str, str]) -> str | None:
    """What is wrong with the first damaged one of a record's stages; one whose space was given back is not damaged."""
    for label, name in stages.items():
        path = stage_path(root, label, name)
        if (path / MANIFEST).is_file() and (wrong := verify(path, read_json(path / MANIFEST))):
            return f"{path}: {wrong}"
    return None


def entries(root: Path, records: Iterable[Any] = ()) -> list[Entry]:
    """All stages under `root`, largest first; `records` tell which runs rest on them, directly or through others."""
    found = {f"{path.parent.name}/{path.name}": path for path in _folders(root)}
    inputs = {id: tuple((_manifest(path) or {}).get("inputs", ())) for id, path in found.items()}
    users: dict[str, list[str]] = {}
    for record in records:
        named = [stage_path(root, label, name) for label, name in record.stages.items()]
        for id in _closure([f"{path.parent.name}/{path.name}" for path in named], inputs):
            users.setdefault(id, []).append(record.key)
    rows = [_entry(path, inputs[id], tuple(users.get(id, ()))) for id, path in found.items()]
    return sorted([*rows, *_left(root)], key=lambda entry: -entry.bytes)


def unneeded(found: Iterable[Entry], older_than_s: float = 0.0, since: float | None = None) -> list[Entry]:
    """What may go: stages on which no record rests, and what killed processes left.

    `since`: when the oldest run under way began (seconds since 1970); what is younger may be its own.
    """
    least = max(older_than_s, time.time() - since if since is not None else 0.0)
    return [entry for entry in found if not entry.runs and entry.age_s >= least]


def remove(root: Path, entry: Entry, locks: Locks) -> bool:
    """Delete one entry unless a process is at work on it; whether it was deleted."""
    key = entry.name.lstrip(".").partition(".")[0].partition("-")[0]
    if not locks.free(f"{entry.kind}-{key}") or not locks.free(f"use-{entry.kind}-{key}"):
        return False
    shutil.rmtree(entry.path, ignore_errors=True)
    return not entry.path.exists()


def _folders(root: Path) -> Iterator[Path]:
    for kind in sorted(root.glob("[!.]*")):
        yield from (path for path in sorted(kind.glob("[!.]*")) if path.is_dir())


def _left(root: Path) -> list[Entry]:
    """Working folders of stages that were never finished, and checkpoints of interrupted work."""
    rows = []
    for path in [*root.glob("[!.]*/.*"), *root.glob(".checkpoints/*")]:
        kind, _, name = (
            path.name.partition("-") if path.parent.name == ".checkpoints" else (path.parent.name, "", path.name)
        )
        size, age = _size(path), time.time() - path.stat().st_mtime
        rows.append(Entry(kind, name, path, "left behind", size, age))
    return rows


def _entry(path: Path, inputs: tuple[str, ...], runs: tuple[str, ...]) -> Entry:
    manifest = _manifest(path)
    state = "whole" if (path / MANIFEST).is_file() else "dropped" if (path / DROPPED).is_file() else "unfinished"
    age = time.time() - path.stat().st_mtime
    if manifest and "created" in manifest:
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(manifest["created"])).total_seconds()
    return Entry(path.parent.name, path.name, path, state, _size(path), age, inputs, runs)


def _manifest(path: Path) -> dict[str, Any] | None:
    return read_json(path / MANIFEST) or read_json(path / DROPPED)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _closure(ids: Iterable[str], inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """The stages named and all that they were made from."""
    seen: set[str] = set()
    todo = list(ids)
    while todo:
        id = todo.pop()
        if id not in seen:
            seen.add(id)
            todo += inputs.get(id, ())
    return seen
