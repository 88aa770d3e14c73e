"""Checkpoints of a fine-tuning, written at time intervals, and finding the one to resume from."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

EVERY_S = 600.0  # the least time between two checkpoints, in seconds
SHARE = 20.0  # the least time between two checkpoints, as a multiple of what writing the last one took
WHOLE = "loss.txt"  # a file that is written last: a checkpoint without it is incomplete
PARTS = "processes.txt"  # the number of processes that a checkpoint of a divided model is written by


def latest_checkpoint(folder: Path, parts: int | None = None) -> Path | None:
    """The newest complete checkpoint in `folder`; None if there is none.

    `parts` is the number of processes that the model is divided over: only checkpoints of that number count, because each
    process reads what its predecessor wrote. None: the model is not divided, and any number can read it.
    """
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")]
    return max((one for one in whole if _parts(one) == parts), key=steps_done, default=None)


def _parts(checkpoint: Path) -> int | None:
    file = checkpoint / PARTS
    return int(file.read_text()) if file.is_file() else None


def steps_done(checkpoint: Path | None) -> int:
    """How many optimizer steps were done when the checkpoint was written; 0 without a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


@cache
def checkpoint_callback() -> type:
    """The callback class, defined on demand because transformers takes seconds to import."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Requests a checkpoint when one is due, and keeps the sum of the losses with it, so that a resumed run has it.

        Several processes agree after each step: on its loss, of which each has a share, and on the first one's clock.
        """

        def __init__(
            self, trainer: Any, before: Path | None, divided: bool, say: Callable[[int, float], None] | None
        ) -> None:
            self.trainer, self.divided, self.say = trainer, divided, say
            self.accelerator = trainer.accelerator
            self.loss = float((before / WHOLE).read_text()) if before else 0.0
            self.agreed = 0.0  # the sum of the losses since the start of this process, of all processes
            self.due = time.monotonic() + EVERY_S
            self.begun = 0.0

        def total(self) -> float:
            """The sum of the losses of all steps so far, those before an interruption included."""
            return self.loss + (self.agreed if self.accelerator.num_processes > 1 else float(self.trainer._tr_loss))

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            due = time.monotonic() >= self.due
            if self.accelerator.num_processes > 1:
                due = self._agree(state.global_step, due)
            if due and state.global_step < state.max_steps:
                control.should_save, self.begun = True, time.monotonic()
            return control

        def _agree(self, step: int, due: bool) -> bool:
            mine = [float(self.trainer._tr_loss), float(due and self.accelerator.is_main_process)]
            shared = self.accelerator.reduce(torch.tensor(mine, device=self.accelerator.device), "sum").tolist()
            total = shared[0] / self.accelerator.num_processes
            if self.say:
                self.say(step, total - self.agreed)
            self.agreed = total
            return bool(shared[1])

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            self.accelerator.wait_for_everyone()  # each process has written its part
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if self.accelerator.is_main_process:
                if self.divided:
                    (folder / PARTS).write_text(str(self.accelerator.num_processes))
                (folder / WHOLE).write_text(repr(self.total()))
            now = time.monotonic()
            self.due = now + max(EVERY_S, SHARE * (now - self.begun))
            return control

    return Clock
