"""An inventory of the store: its stages, the runs that rest on them, damaged stages, and those that no run needs."""

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

# Kind of stage -> the name of its folder in versions that wrote records without a format number.
FORMER_FOLDERS = {"training": "model"}


@dataclass(frozen=True)
class Entry:
    """One stage, or a folder that an interrupted process left behind."""

    kind: str
    name: str  # its folder under the kind
    path: Path
    state: str  # "whole", "dropped" (files deleted, manifest kept), "unfinished" (no manifest) or "left behind"
    bytes: int  # on disk
    age_s: float  # seconds since it was made
    inputs: tuple[str, ...] = ()  # the stages ("kind/name") that it was made from
    runs: tuple[str, ...] = ()  # the keys of the runs that rest on it, directly or through other stages


def stage_path(root: Path, label: str, name: str) -> Path:
    """The folder of a stage, from its label in a record (`features/0`, `selection`, `evaluation/planted`) and its name."""
    kind = label.partition("/")[0]
    former = root / FORMER_FOLDERS.get(kind, kind) / name
    return former if former.is_dir() else root / kind / name


def damaged(root: Path, stages: Mapping[str, str]) -> str | None:
    """What is wrong with the first damaged stage of a record (`stages`: label -> name); None if all are as written.

    A stage whose files were dropped to save space does not count as damaged.
    """
    for label, name in stages.items():
        path = stage_path(root, label, name)
        if (path / MANIFEST).is_file() and (wrong := verify(path, read_json(path / MANIFEST))):
            return f"{path}: {wrong}"
    return None


def entries(root: Path, records: Iterable[Any] = ()) -> list[Entry]:
    """All stages under `root`, largest first, each with those of the `records` that rest on it."""
    found = {f"{path.parent.name}/{path.name}": path for path in _stage_folders(root)}
    inputs = {id: tuple((_manifest(path) or {}).get("inputs", ())) for id, path in found.items()}
    users: dict[str, list[str]] = {}
    for record in records:
        named = [stage_path(root, label, name) for label, name in record.stages.items()]
        for id in _with_inputs([f"{path.parent.name}/{path.name}" for path in named], inputs):
            users.setdefault(id, []).append(record.key)
    rows = []
    for id, path in found.items():
        # A proof that a ranking is nested stands in no record: it is needed as long as the ranking that it is of.
        of = _proved_ranking(path) or id
        rows.append(_stage_entry(path, inputs[id], tuple(users.get(of, ()))))
    return sorted([*rows, *_left_behind(root)], key=lambda entry: -entry.bytes)


def unneeded(found: Iterable[Entry], older_than_s: float = 0.0, since: float | None = None) -> list[Entry]:
    """The entries that may be deleted: stages on which no record rests, and what killed processes left behind.

    `since` is the time (seconds since 1970) at which the oldest run under way began: an entry made later may be that
    run's, and is kept.
    """
    least = max(older_than_s, time.time() - since if since is not None else 0.0)
    return [entry for entry in found if not entry.runs and entry.age_s >= least]


def remove(root: Path, entry: Entry, locks: Locks) -> bool:
    """Delete one entry unless a process is at work on it. Returns whether it was deleted."""
    key = entry.name.lstrip(".").partition(".")[0].partition("-")[0]
    if not locks.free(f"{entry.kind}-{key}") or not locks.free(f"use-{entry.kind}-{key}"):
        return False
    shutil.rmtree(entry.path, ignore_errors=True)
    return not entry.path.exists()


def _stage_folders(root: Path) -> Iterator[Path]:
    """The folders of all stages; names with a dot in front are working folders, checkpoints and locks."""
    for kind in sorted(root.glob("[!.]*")):
        yield from (path for path in sorted(kind.glob("[!.]*")) if path.is_dir())


def _left_behind(root: Path) -> list[Entry]:
    """Working folders of stages that were never finished, and checkpoints of interrupted work."""
    rows = []
    for path in [*root.glob("[!.]*/.*"), *root.glob(".checkpoints/*")]:
        kind, _, name = (
            path.name.partition("-") if path.parent.name == ".checkpoints" else (path.parent.name, "", path.name)
        )
        size, age = _bytes_under(path), time.time() - path.stat().st_mtime
        rows.append(Entry(kind, name, path, "left behind", size, age))
    return rows


def _stage_entry(path: Path, inputs: tuple[str, ...], runs: tuple[str, ...]) -> Entry:
    manifest = _manifest(path)
    state = "whole" if (path / MANIFEST).is_file() else "dropped" if (path / DROPPED).is_file() else "unfinished"
    age = time.time() - path.stat().st_mtime
    if manifest and "created" in manifest:
        age = (datetime.now(timezone.utc) - datetime.fromisoformat(manifest["created"])).total_seconds()
    return Entry(path.parent.name, path.name, path, state, _bytes_under(path), age, inputs, runs)


def _manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a whole stage, or that of one whose files were dropped; None of an unfinished one."""
    return read_json(path / MANIFEST) or read_json(path / DROPPED)


def _proved_ranking(path: Path) -> str | None:
    """The selection ("selection/name") of which a stage of the kind `prefix` shows that it is nested; None of others."""
    ranking = (_manifest(path) or {}).get("identity", {}).get("ranking") if path.parent.name == "prefix" else None
    return f"selection/{ranking}" if ranking else None


def _bytes_under(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _with_inputs(ids: Iterable[str], inputs: Mapping[str, tuple[str, ...]]) -> set[str]:
    """These stages, and all stages that they were made from, directly or through others."""
    seen: set[str] = set()
    todo = list(ids)
    while todo:
        id = todo.pop()
        if id not in seen:
            seen.add(id)
            todo += inputs.get(id, ())
    return seen
