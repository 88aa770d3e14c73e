"""Processes of a fine-tuning of which the second breaks off after three steps, in the way that BREAKS says.

Checkpoints are written after every step.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selbench_plugins.trainers import _checkpoints, _rank_worker, _sft

_checkpoints.EVERY_S = _checkpoints.SHARE = 0.0
plain = _sft.Batches.__iter__


def breaking(self: _sft.Batches) -> Iterator[Any]:
    for number, step in enumerate(plain(self)):
        if self.process == 1 and number == 3:
            if os.environ["BREAKS"] == "raises":
                raise RuntimeError("the second process has had enough")
            if os.environ["BREAKS"] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)  # "hangs"
        yield step


_sft.Batches.__iter__ = breaking  # type: ignore[method-assign]

if __name__ == "__main__":
    _rank_worker.main(Path(sys.argv[1]))
