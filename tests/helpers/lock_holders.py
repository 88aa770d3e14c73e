"""What other processes do in the tests of locks and stages: a process that is started can import this by name."""

from __future__ import annotations

import time

from selbench.store.locks import Locks
from selbench.store.stages import Store


def hold(root, key):
    with Locks(root / ".locks").hold(f"kind-{key}", "a test"):
        time.sleep(60)


def hold_a_second(root, shared):
    with Locks(root / ".locks", shared=shared).hold("kind-x", "counting"):
        time.sleep(1)


def slowly(root, results):
    def compute(folder):
        time.sleep(0.3)
        (folder / "data.txt").write_text("x")

    results.put(Store(root).stage("kind", {}, compute).reused)


def hold_named(root, name, shared):
    with Locks(root / ".locks", shared=shared).hold(name, "a test"):
        time.sleep(60)
