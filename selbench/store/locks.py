"""Locks: one process at a time does a piece of work, and the others say for which process they wait.

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

LEASE_S = 60.0  # seconds without a renewal after which a holder on another machine counts as dead
REPEAT_S = 60.0  # seconds between two messages of a process that waits
SHARED = "shared"  # a file in the folder of locks: leases are in use here, also for processes started without `shared`


class Locks:
    """Named locks in one folder.

    `shared` says that several machines write to the folder's file system. `say` is called with a sentence while a
    process waits.
    """

    def __init__(
        self, folder: Path, *, shared: bool = False, say: Callable[[str], None] = lambda message: None
    ) -> None:
        self.folder, self.say = folder, say
        self.shared = shared or (folder / SHARED).exists()
        # Kept, because a lease counts as expired once the same object has seen it unchanged for LEASE_S.
        self._locks: dict[Path, BaseFileLock] = {}

    @contextmanager
    def hold(self, name: str, work: str = "") -> Iterator[None]:
        """Wait for the lock, saying who has it, and hold it for the block; `work` is what the processes waiting are told."""
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

    @contextmanager
    def hold_if_free(self, name: str) -> Iterator[bool]:
        """Hold the lock for the block if no process has it; whether it is held, without waiting."""
        with writing(self.folder):
            lock = self._lock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def free(self, name: str) -> bool:
        """Whether no process holds the lock at this moment."""
        lock = self._lock(self.folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def oldest(self, prefix: str) -> float | None:
        """When (seconds since 1970) the oldest held lock whose name begins with `prefix` was taken; None if none is held."""
        found = {path.stem: read_json(path) for path in self.folder.glob(f"{prefix}*.json")}
        return min((about["since"] for name, about in found.items() if about and not self.free(name)), default=None)

    def holder(self, name: str) -> str:
        """A phrase that says which process has the lock, for what work and for how long, as far as that is known."""
        about = read_json(self.folder / f"{name}.json")
        if not about:
            return "another process"
        where = "" if about["host"] == socket.gethostname() else f" on {about['host']}"
        work = f" ({about['work']})" if about["work"] else ""
        return f"process {about['pid']}{where}{work}, at it for {max(0, time.time() - about['since']):.0f} s"

    def _lock(self, path: Path) -> BaseFileLock:
        if path not in self._locks:
            self._locks[path] = (
                SoftFileLease(path, lease_duration=LEASE_S, is_singleton=True)
                if self.shared
                else FileLock(path, is_singleton=True)
            )
        return self._locks[path]

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
