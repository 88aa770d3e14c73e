"""Hashes of what files hold, remembered as long as size and time of change stay the same."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from selbench.errors import UserError


def file_hash(path: Path) -> str:
    """SHA-256 of the content. Raises UserError if there is no such file."""
    try:
        return _file_hash(str(path), *_stamp(path))
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror or error}.") from error


def folder_hash(folder: Path) -> str:
    """A hash of every file under `folder` and its relative name. Raises UserError if there is none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"the folder {folder} is empty.")
    rows = [f"{path.relative_to(folder).as_posix()} {file_hash(path)}" for path in files]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _file_hash(path: str, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
