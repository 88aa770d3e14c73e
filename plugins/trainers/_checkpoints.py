"""Checkpoints of a fine-tuning, written at time intervals, and finding the one to resume from."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

EVERY_S = 600.0  # the least time between two checkpoints, in seconds
SHARE = 20.0  # the least time between two checkpoints, as a multiple of what writing the last one took
WHOLE = "loss.txt"  # a file that is written last: a checkpoint without it is incomplete


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`; None if there is none."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=steps_done, default=None)


def steps_done(checkpoint: Path | None) -> int:
    """How many optimizer steps were done when the checkpoint was written; 0 without a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


@cache
def checkpoint_callback() -> type:
    """The callback class, defined on demand because transformers takes seconds to import."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Requests a checkpoint when one is due, and keeps the sum of the losses with it, so that a resumed run has it."""

        def __init__(self, trainer: Any, before: Path | None) -> None:
            self.trainer = trainer
            self.loss = float((before / WHOLE).read_text()) if before else 0.0
            self.due = time.monotonic() + EVERY_S
            self.begun = 0.0

        def total(self) -> float:
            """The sum of the losses of all steps so far, those before an interruption included."""
            return self.loss + float(self.trainer._tr_loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if time.monotonic() >= self.due and state.global_step < state.max_steps:
                control.should_save, self.begun = True, time.monotonic()
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).write_text(repr(self.total()))
            now = time.monotonic()
            self.due = now + max(EVERY_S, SHARE * (now - self.begun))
            return control

    return Clock
