"""Checkpoints of a fine-tuning by the clock, and where to go on after an interruption."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

EVERY_S = 600.0  # between two checkpoints; at least SHARE times what one took to write
SHARE = 20.0
WHOLE = "loss.txt"  # written last: a checkpoint without it was cut short


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`, None to start from the beginning."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max(whole, key=steps_done, default=None)


def steps_done(checkpoint: Path | None) -> int:
    """How many optimizer steps were done when it was written."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


@cache
def checkpoint_callback() -> type:
    """The callback class, made on demand because transformers takes seconds to import."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Asks for a checkpoint when it is time, and carries the sum of the losses over an interruption."""

        def __init__(self, trainer: Any, before: Path | None) -> None:
            self.trainer = trainer
            self.loss = float((before / WHOLE).read_text()) if before else 0.0
            self.due = time.monotonic() + EVERY_S
            self.begun = 0.0

        def total(self) -> float:
            """The losses of all steps so far, added up."""
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
