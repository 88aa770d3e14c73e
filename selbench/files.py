"""A file for keeps, whole or not there: written aside, flushed to disk, renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file name in the folder of `path`, and ending like it, to write to; it takes the place of `path` at the end.

    A reader sees the old file or the new one, never half of it, and nothing is left behind when writing fails.
    `durable` waits until the disk has the data, so that a power cut does not leave an empty file under the name; a file
    that says only what is under way can do without. A device or a pipe (`/dev/stdout`) is written to as it is. Raises
    OSError, with `path` as its file name.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    # In the same folder, because only within one file system does a rename replace the file in one step.
    aside = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield aside
        if durable:
            with open(aside, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        if error.filename == str(aside):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # renamed, or never there
            aside.unlink()
