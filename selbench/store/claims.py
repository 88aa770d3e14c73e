"""Which stage or cell of a sweep a job takes, so that no two take the same one and none waits while another is free.

A job holds the lock of what it takes while it is at it: what a job that dies has taken is free again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selbench.store.files import read_json, write_json, writing
from selbench.store.locks import Locks

LOOK_S = 0.3  # how often a job looks whether something is ready


Property = Callable[[int], bool]  # a property of a piece of work, by its number


class Claims:
    """Numbered pieces of work of one sweep, of one `kind` (stage, cell)."""

    def __init__(self, folder: Path, kind: str, *, shared: bool = False) -> None:
        self.kind, self._folder = kind, folder
        self._locks = Locks(folder / ".locks", shared=shared)

    @contextmanager
    def first_ready(self, order: Sequence[int], ended: Property, ready: Property) -> Iterator[int | None]:
        """Take the first piece that has not ended, is ready and is not taken, waiting until there is one.

        None if there is nothing to wait for: all have ended, or are ready and taken by others.
        """
        while True:
            left = [number for number in order if not ended(number)]
            able = [number for number in left if ready(number)]
            for number in able:
                with self._locks.hold_if_free(self._name(number)) as got:
                    if got and not ended(number):
                        yield number
                        return
            if len(able) == len(left) and not [number for number in left if self._locks.free(self._name(number))]:
                yield None
                return
            time.sleep(LOOK_S)

    @contextmanager
    def first_free(
        self, order: Sequence[int], ended: Property, busy: Property, job: int | None = None
    ) -> Iterator[int | None]:
        """Take the first piece that has not ended and is not taken; only if there is no other, one that is `busy`.

        A job that is started anew, because its node was lost or other jobs came first, waits for what it had taken before:
        on a file system that machines share, the claim of a dead process holds for a while.

        Args:
            order: the numbers, the one that suits best first.
            ended: whether a piece has ended.
            busy: whether another sweep is at the same piece of work, for which whoever takes it would wait.
            job: the number of the job that asks.
        """
        while True:
            for may_wait in (False, True):
                for number in order:
                    if ended(number) or (not may_wait and busy(number)):
                        continue
                    with self._locks.hold_if_free(self._name(number)) as got:
                        if got and not ended(number):
                            self._note(number, job)
                            yield number
                            return
            if job is None or not [number for number in order if self.taker(number) == job and not ended(number)]:
                yield None
                return
            time.sleep(LOOK_S)

    def taker(self, number: int) -> int | None:
        """The number of the job that took a piece last; None if none has."""
        about = read_json(self._folder / f"{number}.json")
        return about["job"] if about else None

    def _note(self, number: int, job: int | None) -> None:
        if job is not None:
            with writing(self._folder) as folder:
                write_json(folder / f"{number}.json", {"job": job}, durable=False)

    def _name(self, number: int) -> str:
        return f"{self.kind}-{number}"
