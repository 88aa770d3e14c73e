"""The line under a running sweep: how many of its cells are done, running, waiting, failed, and the time left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from selbench import console
from selbench.store.sweeps import Sweep


@contextmanager
def watching(sweep: Sweep) -> Iterator[None]:
    """Show the line while the block runs, read from the sweep's folder, whichever processes run its cells.

    Without a terminal nothing is shown.
    """
    if not console.terminal():
        yield
        return
    ended = threading.Event()
    bar = tqdm(total=sweep.about["cells"], bar_format="{percentage:3.0f}%|{bar:30}| {desc}", position=0, leave=False)

    def watch() -> None:
        while not ended.wait(0.5):
            progress = sweep.progress()
            bar.n = progress.done
            bar.set_description_str(progress.line)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        bar.close()
