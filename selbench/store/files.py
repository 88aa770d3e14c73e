"""The store's files: JSON and arrays, their checksums, and a one-sentence error for a full or unwritable disk."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from selbench.errors import UserError
from selbench.files import written_aside
from selbench.hashing import file_hash

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Checksum(TypedDict):
    """Size and SHA-256 of a file as it was written."""

    bytes: int
    sha256: str


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """The folder, made if need be. An OSError in the block, such as a full disk, becomes a UserError of one sentence."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise disk_error(folder, error) from error


def disk_error(path: Path, error: OSError) -> UserError:
    """The error to raise for a file that cannot be written; `path` is named if `error` does not name the file."""
    return UserError(
        f"cannot write {error.filename or path}: {error.strerror or error}. Nothing half-written was kept."
    )


def is_disk_error(error: OSError) -> bool:
    """Whether the disk is full or read-only, which is no fault of the code that writes."""
    return error.errno in _DISK


def write_json(path: Path, data: Any, *, durable: bool = True) -> None:
    """Write data as JSON. A reader sees the old file or the new one, never half of it; for `durable` see selbench.files."""
    with written_aside(path, durable=durable) as aside:
        aside.write_text(json.dumps(data, indent=1, default=_as_json) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None if there is no such file, or if it is not whole."""
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data


def _as_json(value: Any) -> Any:
    """NumPy values as numbers and lists; anything else that JSON does not know as text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


def checksums(folder: Path) -> dict[str, Checksum]:
    """Relative name -> size and SHA-256 of every file under the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): {"bytes": f.stat().st_size, "sha256": file_hash(f)} for f in files}


def damage(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with the first file that is not as it was written; None if all are.

    A process reads a file only once while its size and time of change stay the same (see hashing).
    """
    for name, about in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != about["bytes"]:
            return f"{name} has {size} bytes where {about['bytes']} were written"
        if file_hash(path) != about["sha256"]:
            return f"{name} is not what was written (its checksum differs)"
    return None


def save_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """One .npy file per array, so that each can be mapped into memory on its own."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Name -> array, of all .npy files in the folder; those above 64 KiB are mapped into memory, read-only."""
    files = sorted(folder.glob("*.npy"))
    return {file.stem: np.load(file, mmap_mode="r" if file.stat().st_size > 1 << 16 else None) for file in files}
