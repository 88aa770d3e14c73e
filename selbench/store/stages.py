"""The stage store: a folder per stage, named by its key, made once, atomic, its manifest written last."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from selbench.errors import UserError
from selbench.store.cost import Cost, measure
from selbench.store.keys import FORMAT, digest

MANIFEST = "manifest.json"
DROPPED = "dropped.json"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Stage:
    """One finished stage: where it is, what it cost when it was computed, and what it logged."""

    kind: str
    key: str
    path: Path
    cost: Cost
    logged: Mapping[str, float]
    reused: bool


class Store:
    """Stages under one folder. Several processes may share it: one computes, the others wait."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def key(kind: str, identity: Mapping[str, Any]) -> str:
        return digest({"kind": kind, "format": FORMAT, **identity})

    def stage(
        self, kind: str, identity: Mapping[str, Any], compute: Callable[[Path], Mapping[str, float] | None]
    ) -> Stage:
        """The stage with this identity, computed if it is not there yet.

        `compute` writes files into the folder it is given and returns the numbers to log. Raises UserError when
        the disk cannot be written; whatever `compute` raises leaves no stage behind.
        """
        key = self.key(kind, identity)
        path = self.root / kind / key
        with self.lock(kind, key):
            if found := self._read(kind, key, path):
                return found
            with writing(path.parent):
                work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=path.parent))
            try:
                with measure() as cost:
                    logged = dict(compute(work) or {})
                manifest = {
                    "kind": kind,
                    "key": key,
                    "identity": identity,
                    "cost": cost,
                    "logged": logged,
                    "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "files": {
                        str(f.relative_to(work)): f.stat().st_size for f in sorted(work.rglob("*")) if f.is_file()
                    },
                }
                write_json(work / MANIFEST, manifest)
                if path.exists():  # incomplete, or dropped to save space
                    shutil.rmtree(path)
                os.replace(work, path)
            except OSError as error:
                if error.errno in _DISK:
                    raise _disk_error(path, error) from error
                raise
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return Stage(kind, key, path, cost, logged, reused=False)

    def drop(self, kind: str, key: str) -> None:
        """Give a stage's space back; what it cost and logged can still be recalled."""
        path = self.root / kind / key
        if not (path / MANIFEST).is_file():
            return
        os.replace(path / MANIFEST, path / DROPPED)
        for entry in path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != DROPPED:
                entry.unlink()

    def recall(self, kind: str, key: str) -> Stage | None:
        """What is known of a stage that was computed once, whether or not its files are still there."""
        path = self.root / kind / key
        for name in (MANIFEST, DROPPED):
            manifest = _manifest(path / name)
            if manifest:
                return Stage(kind, key, path, manifest["cost"], manifest["logged"], reused=True)
        return None

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """One process at a time; the operating system frees the lock of a process that dies."""
        folder = self.root / ".locks"
        with writing(folder):
            lock = FileLock(folder / f"{kind}-{key}.lock", is_singleton=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _read(self, kind: str, key: str, path: Path) -> Stage | None:
        manifest = _manifest(path / MANIFEST)
        if not manifest:
            return None
        sizes = manifest["files"].items()
        if any(not (path / name).is_file() or (path / name).stat().st_size != size for name, size in sizes):
            return None  # a file is missing or cut short: compute it again
        return Stage(kind, key, path, manifest["cost"], manifest["logged"], reused=True)


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return manifest


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """The folder, made if need be; an unwritable or full disk becomes one sentence."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise _disk_error(folder, error) from error


def _disk_error(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {error.filename or path}: {error.strerror or error}. Nothing half-written was kept."
    )


def write_json(path: Path, data: Any) -> None:
    """Written aside and renamed: a reader sees the old file or the new one, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(data, indent=1, default=_plain) + "\n")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


def save_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """One .npy file an array, so that each can be mapped into memory on its own."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a stage; large ones are mapped into memory read-only."""
    files = sorted(folder.glob("*.npy"))
    return {file.stem: np.load(file, mmap_mode="r" if file.stat().st_size > 1 << 16 else None) for file in files}
