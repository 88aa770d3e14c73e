"""A long pass over a pool that goes on where it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selbench.files import written_aside

EVERY_S = 60.0  # between two checkpoints; at least SHARE times what one took to write
SHARE = 20.0


class Checkpoint:
    """What collectors have gathered after so many batches, in one file; nothing is kept without a folder.

    A collector names in `kept` the attributes that change while batches go by. The batches depend on the pool, the
    model and the kind of device; `batches` is how many there are, and a file of another number is left alone.
    """

    def __init__(self, folder: Path | None, name: str, collectors: Sequence[Any], batches: int) -> None:
        self.path = folder / f"{name}-{batches}.pt" if folder else None
        self.collectors = collectors
        self.due = time.monotonic() + EVERY_S

    def restore(self) -> int:
        """The number of batches that need not be read again, with the collectors as they were then."""
        import torch

        if not self.path or not self.path.is_file():
            return 0
        done, states = torch.load(self.path, weights_only=False)
        for collector, state in zip(self.collectors, states):
            vars(collector).update(state)
        return int(done)

    def save(self, done: int) -> None:
        """Written aside and renamed, when it is time."""
        import torch

        begun = time.monotonic()
        if not self.path or begun < self.due:
            return
        states = [{name: getattr(collector, name) for name in collector.kept} for collector in self.collectors]
        with written_aside(self.path) as aside:
            torch.save((done, states), aside)
        now = time.monotonic()
        self.due = now + max(EVERY_S, SHARE * (now - begun))
