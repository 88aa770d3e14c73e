"""Hashes of the contents of files. A process reads a file again only if its size or time of change has changed."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from selbench.errors import UserError


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits. Raises UserError if the file cannot be read."""
    try:
        return _hash_while_unchanged(str(path), *_size_and_time(path))
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror or error}.") from error


def folder_hash(folder: Path) -> str:
    """A hash of the content and relative name of every file under `folder`. Raises UserError if there is no file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"the folder {folder} is empty.")
    rows = [f"{path.relative_to(folder).as_posix()} {file_hash(path)}" for path in files]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _hash_while_unchanged(path: str, size: int, changed: int) -> str:
    # Size and time of change are not used here: as arguments they are part of the cache's key.
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
