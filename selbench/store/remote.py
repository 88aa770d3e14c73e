"""A place outside this machine's output folders (`s3://`, `gs://`, `file://`) that holds copies of finished folders.

It holds two kinds of files. A blob is the content of one file and has its SHA-256 as its name. A manifest names the
blobs of one folder (a stage, a run, a sweep) and is written after them. So whatever is interrupted, a manifest has
all its blobs; and several machines that send one folder at the same time overwrite blobs with the same bytes, and
one whole manifest with another.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from selbench.errors import NotAtHand, UserError, unknown
from selbench.files import written_aside
from selbench.hashing import file_hash

# Scheme -> the extra of selbench that brings what it needs.
EXTRAS = {"s3": "s3", "gs": "gcs", "file": "", "memory": ""}
SHOWN = ("s3", "gs", "file")  # memory:// lasts as long as its process: for tests
WHOLE = 1 << 20  # files up to this many bytes are read at once
PIECE = 32 << 20  # bytes of one request of a download
ABANDONED_S = 86_400.0  # seconds after which a half-written file that nobody writes to is of a process that was killed
AT_ONCE = 16  # manifests that are read at the same time

Count = Callable[[int], None]  # gets the number of bytes that were sent or received since the last call


class Remote:
    """The blobs and manifests under one URL.

    Raises UserError for a URL that cannot be used; its methods raise UserError for what a service refuses or lacks.
    """

    def __init__(self, url: str) -> None:
        scheme, path = _parts(url)
        self.url = f"{scheme}://{path}"
        self._root, self._local = path, scheme == "file"
        self._fs = _file_system(scheme)

    def manifest_names(self) -> list[str]:
        """The names of all manifests, sorted: `store/KIND/NAME`, `runs/KEY`, `sweeps/ID`."""
        with self._plain_errors():
            found = self._fs.find(f"{self._root}/manifests")
        names = (str(path).partition(f"{self._root.strip('/')}/manifests/")[2] for path in found)
        whole = (name for name in names if name.endswith(".json") and not PurePosixPath(name).name.startswith("."))
        return sorted(name.removesuffix(".json") for name in whole)

    def manifests(self, names: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Name -> what a manifest holds; None of one that is not JSON."""
        paths = {name: self._manifest_path(name) for name in names}
        with self._plain_errors(), ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(paths, map(_json, pool.map(self._fs.cat_file, paths.values()))))

    def blob_sizes(self) -> dict[str, int]:
        """SHA-256 -> size in bytes of every blob."""
        with self._plain_errors():
            found = self._fs.find(f"{self._root}/blobs", detail=True)
        return {
            name: int(about["size"])
            for path, about in found.items()
            if re.fullmatch(r"[0-9a-f]{64}", name := PurePosixPath(str(path)).name)
        }

    def send_blob(self, file: Path, sha256: str, count: Count) -> None:
        """Send a file under the name of its content.

        Raises FileNotFoundError if the file is gone, and ValueError if its content is not what `sha256` says.
        """
        size = file.stat().st_size
        if size <= WHOLE:
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise ValueError(f"{file.name} has changed")
            self._write(self._blob_path(sha256), lambda path: self._fs.pipe_file(path, content))
        else:
            self._write(self._blob_path(sha256), lambda path: self._fs.put_file(str(file), path))
            if file_hash(file) != sha256:
                with self._plain_errors():
                    self._fs.rm_file(self._blob_path(sha256))
                raise ValueError(f"{file.name} has changed")
        count(size)

    def send_manifest(self, name: str, about: Mapping[str, Any]) -> None:
        """Write a manifest; all its blobs have been sent before."""
        content = json.dumps(about, indent=1, sort_keys=True).encode()
        self._write(self._manifest_path(name), lambda path: self._fs.pipe_file(path, content))

    def fetch_blob(self, sha256: str, size: int, file: Path, count: Count) -> str | None:
        """Download a blob into `file`, going on where an earlier download was cut off; what is wrong with it, or None.

        Whatever is wrong, no file of that name is left. Raises OSError if it cannot be written.
        """
        if file.exists() and (file.stat().st_size > size or not _appendable(file, size, sha256)):
            file.unlink()
        begun = file.stat().st_size if file.exists() else 0
        count(begun)
        while True:
            self._append(sha256, size, file, count)
            if file.stat().st_size == size and file_hash(file) == sha256:
                return None
            short = file.stat().st_size < size
            file.unlink()
            if short:
                return "is cut off"
            if not begun:
                return "is not what was sent (its checksum differs)"
            begun = 0  # perhaps the earlier part was at fault

    def _append(self, sha256: str, size: int, file: Path, count: Count) -> None:
        path = self._blob_path(sha256)
        with open(file, "ab") as out:
            while (start := out.tell()) < size:
                with self._plain_errors():
                    piece = self._fs.cat_file(path, start=start, end=min(start + PIECE, size))
                if not piece:
                    break
                out.write(piece)
                count(len(piece))
            out.flush()
            os.fsync(out.fileno())

    def _write(self, path: str, write: Callable[[str], Any]) -> None:
        """An object store shows a file once it is whole; in a folder it is written under another name and renamed."""
        with self._plain_errors():
            if not self._local:
                write(path)
                return
            target = Path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(target)
            with written_aside(target) as aside:
                write(str(aside))

    def _blob_path(self, sha256: str) -> str:
        return f"{self._root}/{blob_name(sha256)}"

    def _manifest_path(self, name: str) -> str:
        return f"{self._root}/manifests/{name}.json"

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Whatever a file system of fsspec raises becomes a UserError of one sentence, without secrets."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self.url}: {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        names = {kind.__name__ for kind in type(error).__mro__}
        text = without_secrets(" ".join(str(error).split())[:300]) or type(error).__name__
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "its disk is full. What was sent is kept: the same command goes on from there."
        if names & {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError"}:
            return f"no credentials were found ({text}). Set them as the service's own tools read them (docs/store.md)."
        if "PermissionError" in names or "Forbidden" in names:
            return f"the service or file system does not allow this: {text}"
        if "FileNotFoundError" in names:
            bucket = self._root.strip("/").partition("/")[0]
            missing = (
                f"there is no such folder ({text})"
                if self._local
                else f"there is no bucket '{bucket}', or a file of it is gone"
            )
            return f"{missing}."
        if names & {
            "EndpointConnectionError",
            "ConnectionError",
            "HTTPClientError",
            "ClientConnectorError",
            "TimeoutError",
        }:
            return f"the service does not answer: {text}. What was done is kept: the same command goes on from there."
        return f"{type(error).__name__}: {text}"


def blob_name(sha256: str) -> str:
    """The name of a blob below the URL."""
    return f"blobs/{sha256[:2]}/{sha256}"


def without_secrets(text: str) -> str:
    """The text without passwords in addresses and without the values of environment variables that hold secrets."""
    text = re.sub(r"//[^/@\s]+@", "//", text)
    for name, value in os.environ.items():
        if re.search(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY", name) and len(value) >= 8:
            text = text.replace(value, "***")
    return text


def _parts(url: str) -> tuple[str, str]:
    """Scheme and path of a URL; a path alone is that of a folder. Raises UserError if it is not of a known form."""
    scheme, there, path = url.partition("://")
    if not there:
        scheme, path = "file", url
    if scheme not in EXTRAS:
        raise UserError(
            f"{unknown('scheme', scheme, SHOWN)} A URL is like s3://bucket/folder or file:///mnt/share/folder."
        )
    if scheme == "file":
        folder = Path(path).expanduser()
        if there and not folder.is_absolute():
            raise UserError(
                f"{url} names a host or a relative path: a folder is file:///with/three/slashes, or a path alone."
            )
        return scheme, str(folder.absolute())
    if "@" in path.partition("/")[0]:
        raise UserError(f"credentials do not belong in the URL of {scheme}://: docs/store.md says where they do.")
    if not path.strip("/"):
        raise UserError(f"{scheme}:// lacks the name of a bucket: {scheme}://bucket/folder.")
    if re.search(r"[?#*\[\]]", path):
        raise UserError(f"{without_secrets(url)}: a bucket and its folders have no ?, #, *, [ or ] here.")
    return scheme, path.strip("/")


def _file_system(scheme: str) -> Any:
    import fsspec

    # Of this object alone, and without a memory of listings: other machines write there too.
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "s3":
        options["max_concurrency"] = 2  # parts of 50 MB of one upload that are in memory at the same time
    try:
        return fsspec.filesystem(scheme, **options)
    except ImportError as error:
        extra = EXTRAS[scheme]
        raise NotAtHand(
            f"{scheme}:// needs a package that is not installed: pip install 'selbench[{extra}]'."
        ) from error
    except Exception as error:
        raise UserError(f"{scheme}:// cannot be used: {without_secrets(str(error)) or type(error).__name__}") from error


def _remove_abandoned(target: Path) -> None:
    """Delete what killed processes left of a file in a folder."""
    for left in target.parent.glob(f".{target.stem}.*"):
        with suppress(OSError):  # another process has just renamed or deleted it
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                left.unlink()


def _appendable(file: Path, size: int, sha256: str) -> bool:
    """Whether a file is a beginning of the blob as far as its size tells, or the blob itself."""
    return file.stat().st_size < size or file_hash(file) == sha256


def _json(text: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
