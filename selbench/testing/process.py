"""The settings of the process that a plugin could change for all cells after it: noted where they change, and put back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

THREADS = "OMP_NUM_THREADS"  # read by torch when it is imported
_noting: list[list[str]] = []


@contextmanager
def process_restored() -> Iterator[None]:
    """The block in which a plugin is called: what it changes of the process is noted and put back."""
    before = _process()
    try:
        yield
    finally:
        changes = _differences(before, _process())
        for noted in _noting:
            noted += [change for change in changes if change not in noted]
        _restore(before)


@contextmanager
def changes_noted() -> Iterator[list[str]]:
    """Yields a list of what the calls inside the block change, a sentence for each."""
    noted: list[str] = []
    _noting.append(noted)
    try:
        yield noted
    finally:
        _noting.pop()


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and its like inside the block, in processes that are started there too.

    The models of checks are so small that a second thread costs more than it gives, most of all on a busy machine.
    """
    before, torch = os.environ.get(THREADS), torch_at_hand()
    count = torch.get_num_threads() if torch else 0
    os.environ.setdefault(THREADS, "1")
    if torch and before is None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(THREADS, None)
            if torch:
                torch.set_num_threads(count)


def torch_at_hand() -> Any:
    """torch, where something has imported it: importing it takes seconds, and who has not imported it does not use it."""
    return sys.modules.get("torch")


# Settings of torch: how each is read and set.
_TORCH: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default type": (
        lambda: torch_at_hand().get_default_dtype(),
        lambda value: torch_at_hand().set_default_dtype(value),
    ),
    "torch's number of threads": (
        lambda: torch_at_hand().get_num_threads(),
        lambda value: torch_at_hand().set_num_threads(value),
    ),
    "whether torch computes gradients": (
        lambda: torch_at_hand().is_grad_enabled(),
        lambda value: torch_at_hand().set_grad_enabled(value),
    ),
    "whether torch's algorithms are deterministic": (
        lambda: torch_at_hand().are_deterministic_algorithms_enabled(),
        lambda value: torch_at_hand().use_deterministic_algorithms(value),
    ),
}


def _process() -> dict[str, Any]:
    """What a plugin could change for all the cells after it: setting -> value."""
    torch = torch_at_hand()
    settings = {
        "the working directory": _folder(),
        "the environment": dict(os.environ),
        "sys.argv": list(sys.argv),
        "the standard output": id(sys.stdout),
        "numpy's handling of errors": dict(np.geterr()),
    }
    return {**settings, **({name: read() for name, (read, _) in _TORCH.items()} if torch else {})}


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "(a folder that is gone)"


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = []
    for name, old in before.items():
        new: Any = after.get(name)
        if old == new:
            continue
        if name == "the environment":
            keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
            found.append(f"{name}: {', '.join(keys)}")
        elif name == "the standard output":
            found.append("sys.stdout is another stream")
        else:
            found.append(f"{name}: {old} became {new}")
    return found


def _restore(before: dict[str, Any]) -> None:
    with suppress(OSError):
        os.chdir(before["the working directory"])
    for key in set(os.environ) - set(before["the environment"]):
        del os.environ[key]
    os.environ.update(before["the environment"])
    sys.argv[:] = before["sys.argv"]
    np.seterr(**before["numpy's handling of errors"])
    if torch := torch_at_hand():
        # Where the block has imported torch, its settings are those of a fresh import.
        fresh = {"torch's default type": torch.float32, "whether torch computes gradients": True}
        for name, (read, write) in _TORCH.items():
            if name in (wanted := {**fresh, **before}) and read() != wanted[name]:
                write(wanted[name])
