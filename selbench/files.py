"""Writing a file that is either complete or absent: written under another name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_aside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path to write to, in the folder of `path` and with its suffix; on success it replaces `path`.

    A reader sees the old file or the new one, never half of it, and the temporary file is removed if writing fails.
    `durable` waits until the data are on the disk, so that a power cut does not leave an empty file named `path`;
    files that matter only while a command runs can pass False. If `path` is a device or a pipe (`/dev/stdout`), it is
    written to directly. Raises OSError, with `path` as its file name.
    """
    # A device or a pipe cannot be replaced by renaming a file.
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    # In the same folder, because a rename is atomic only within one file system.
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
        with suppress(OSError):  # after a success the file has been renamed; after a failure it may not exist
            aside.unlink()
