"""One of the processes of a fine-tuning, started by `accelerate launch` with the folder of its task (see `_ranks`)."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from selbench_plugins.trainers._fit import fit
from selbench_plugins.trainers._ranks import ABOUT, FAILURE, OUTCOME, read_task

from selbench.api import UserError
from selbench.libraries import own_randomness, quiet
from selbench.models import load_tokenizer


def main(folder: Path) -> None:
    """Do this process's share; the first process writes the outcome, and one that fails writes why."""
    _end_with_parent()
    process = int(os.environ.get("RANK", "0"))
    try:
        outcome = _share(folder, process)
    except UserError as error:
        outcome = {"error": str(error)}
    except BaseException:
        (folder / FAILURE.format(process)).write_text(traceback.format_exc())
        raise
    if process == 0:
        (folder / OUTCOME).write_text(json.dumps(outcome))
    if "error" in outcome:
        sys.exit(1)


def _share(folder: Path, process: int) -> dict[str, Any]:
    about = json.loads((folder / ABOUT).read_text())
    module, name = about["trainer"]
    options = getattr(importlib.import_module(module), name)(**about["options"])
    task = read_task(folder, options, about)
    count = len(task.plan.steps)

    def shown(steps: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
        if process == 0 and len(steps) < count:
            print(f"goes on after step {count - len(steps)} of {count}", flush=True)
        return steps

    def say(step: int, loss: float) -> None:
        if process == 0:
            print(f"step {step} of {count}, loss {loss:.7g}", flush=True)

    with quiet(), own_randomness(task.seed):
        return asdict(fit(task, load_tokenizer(task.model), shown, say))


def _end_with_parent() -> None:
    """On Linux, let this process be killed when the launcher dies, which could not end it any more."""
    if sys.platform == "linux":
        import ctypes

        parent = os.getppid()
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        if os.getppid() != parent:
            sys.exit(143)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
