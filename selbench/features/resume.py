"""Checkpoints of a long pass over a pool: an interrupted pass is resumed where it stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selbench.files import written_aside

EVERY_S = 60.0  # seconds between two checkpoints, at least
SHARE = 20.0  # the pause is also at least this many times as long as the last checkpoint took to write


class Checkpoint:
    """One file with what the collectors have gathered so far; without a folder, nothing is saved.

    A collector names in `kept` the attributes that are saved. The number of batches, which depends on the pool, the
    model and the kind of device, is part of the file's name: a checkpoint of another number of batches is not read.
    """

    def __init__(self, folder: Path | None, name: str, collectors: Sequence[Any], batches: int) -> None:
        self.path = folder / f"{name}-{batches}.pt" if folder else None
        self.collectors = collectors
        self.due = time.monotonic() + EVERY_S

    def restore(self) -> int:
        """Bring the collectors to the state of the checkpoint; return the number of batches they have seen (0 without one)."""
        import torch

        if not self.path or not self.path.is_file():
            return 0
        done, states = torch.load(self.path, weights_only=False)
        for collector, state in zip(self.collectors, states):
            vars(collector).update(state)
        return int(done)

    def save(self, done: int) -> None:
        """Write a checkpoint after `done` batches, if enough time has passed since the last."""
        import torch

        begun = time.monotonic()
        if not self.path or begun < self.due:
            return
        states = [{name: getattr(collector, name) for name in collector.kept} for collector in self.collectors]
        # A pass that is killed while it writes leaves the previous checkpoint whole.
        with written_aside(self.path) as aside:
            torch.save((done, states), aside)
        now = time.monotonic()
        self.due = now + max(EVERY_S, SHARE * (now - begun))
