"""One process at a time, and the others know for whom they wait.

On one machine the operating system holds the lock and frees it when its holder dies. On a file system that several
machines share, that cannot be relied on: there the holder renews a lease (filelock's SoftFileLease), and a lease that
has not been renewed for a while is taken over.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLease, Timeout

from selbench.store.files import read_json, write_json, writing

LEASE_S = 60.0  # how long a holder on another machine may be silent before it counts as dead
REPEAT_S = 60.0  # how often a waiting process says so
SHARED = "shared"  # a file in the folder: leases are in use here, whatever another process was told


class Locks:
    """Named locks in one folder. `shared`: the folder is on a file system that several machines write to."""

    def __init__(
        self, folder: Path, *, shared: bool = False, say: Callable[[str], None] = lambda message: None
    ) -> None:
        self.folder, self.say = folder, say
        self.shared = shared or (folder / SHARED).exists()

    @contextmanager
    def hold(self, name: str, work: str = "") -> Iterator[None]:
        """Wait for the lock, saying who has it, and hold it; `work` tells others what for."""
        with writing(self.folder):
            if self.shared:
                (self.folder / SHARED).touch()
            lock = self._lock(self.folder / f"{name}.lock")
            self._acquire(lock, name)
        holder = self.folder / f"{name}.json"
        try:
            with writing(self.folder):
                about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "work": work}
                write_json(holder, about, durable=False)
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def free(self, name: str) -> bool:
        """Whether nobody holds the lock just now."""
        lock = self._lock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def oldest(self, prefix: str) -> float | None:
        """When (seconds since 1970) the oldest of the locks named like this that are held was taken; None if none is."""
        found = {path.stem: read_json(path) for path in self.folder.glob(f"{prefix}*.json")}
        return min((about["since"] for name, about in found.items() if about and not self.free(name)), default=None)

    def holder(self, name: str) -> str:
        """Who has the lock, since when and for what, as far as is known."""
        about = read_json(self.folder / f"{name}.json")
        if not about:
            return "another process"
        where = "" if about["host"] == socket.gethostname() else f" on {about['host']}"
        work = f" ({about['work']})" if about["work"] else ""
        return f"process {about['pid']}{where}{work}, at it for {max(0, time.time() - about['since']):.0f} s"

    def _lock(self, path: Path) -> BaseFileLock:
        if self.shared:
            return SoftFileLease(path, lease_duration=LEASE_S, is_singleton=True)
        return FileLock(path, is_singleton=True)

    def _acquire(self, lock: BaseFileLock, name: str) -> None:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            time.sleep(0.2)  # the holder has just begun and may not have said yet who it is
        while True:
            try:
                lock.acquire(timeout=0)
                return
            except Timeout:
                self.say(f"waiting for {self.holder(name)}")
            try:
                lock.acquire(timeout=REPEAT_S, poll_interval=0.1)
                return
            except Timeout:
                continue
