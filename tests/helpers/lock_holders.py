"""What other processes do in the tests of locks and stages. A spawned process imports these functions by name."""

from __future__ import annotations

import time

from selbench.store.locks import Locks
from selbench.store.stages import Store


def hold_stage(root, key):
    """Hold the lock of the stage `kind`/`key` until the process is killed."""
    with Locks(root / ".locks").hold(f"kind-{key}", "a test"):
        time.sleep(60)


def hold_a_second(root, shared):
    """Hold the lock kind-x for a second."""
    with Locks(root / ".locks", shared=shared).hold("kind-x", "counting"):
        time.sleep(1)


def compute_slowly(root, results):
    """Ask for one stage, which takes 0.3 s to compute; put into `results` whether it was there already."""

    def compute(folder):
        time.sleep(0.3)
        (folder / "data.txt").write_text("x")

    results.put(Store(root).stage("kind", {}, compute).reused)


def hold_named(root, name, shared):
    """Hold the lock of this name until the process is killed."""
    with Locks(root / ".locks", shared=shared).hold(name, "a test"):
        time.sleep(60)
