"""The process that carries out cells for another: it answers one request after the other, and ends when that one ends."""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

PARENT_S = 0.5  # how often the process looks whether its parent is still there
LAST_S = 2.0  # what it then has for ending in order


def main(parent: int, requests: int, replies: int, faults: str) -> None:
    """Serve the requests that are read from one pipe until it is closed, and write the replies into another.

    A request is a pickled (module, function, arguments, working directory, sys.argv). The function is called with the
    arguments and with `tell`, a function that sends a pair of words to the parent. Replies are ("told", pair), and at the
    end ("returned", value) or ("raised", text).

    Args:
        parent: the id of the parent's process.
        requests: the descriptor of the pipe to read from.
        replies: the descriptor of the pipe to write to.
        faults: a file to which the stack is written if the process crashes.
    """
    for descriptor in (requests, replies):  # a program that a plugin starts must not keep the pipes open
        os.set_inheritable(descriptor, False)
    faulthandler.enable(open(faults, "w"))  # noqa: SIM115 (open as long as the process lives)
    signal.signal(signal.SIGINT, _interrupt)
    # SLURM sends its signals to every process of a job, before it takes the job's place or at its time limit. What follows
    # from them, the parent decides (submitit's handlers), which ends this process with SIGINT.
    heard = os.environ.get("SUBMITIT_EXECUTOR") != "slurm"
    signal.signal(signal.SIGTERM, _interrupt if heard else signal.SIG_IGN)
    if not heard:
        name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        signal.signal(getattr(signal, f"SIG{name}", signal.SIGUSR2), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    incoming, outgoing = Connection(requests, writable=False), Connection(replies, readable=False)
    try:
        while True:
            try:
                request = incoming.recv_bytes()
            except EOFError:
                return
            outgoing.send_bytes(_answer(request, outgoing))
    except (KeyboardInterrupt, BrokenPipeError):
        _end_now(130)


def _answer(request: bytes, outgoing: Connection) -> bytes:
    def tell(*words: str) -> None:
        outgoing.send_bytes(pickle.dumps(("told", words)))

    try:
        module, function, arguments, folder, sys.argv = pickle.loads(request)
        os.chdir(folder)
        value: Any = getattr(importlib.import_module(module), function)(*arguments, tell=tell)
        return pickle.dumps(("returned", value))
    except Exception as error:
        return pickle.dumps(("raised", f"{type(error).__name__}: {error}"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Lets the code clean up as after Ctrl-C: half-made folders are deleted, locks given back."""
    raise KeyboardInterrupt


def _end_with(parent: int) -> None:
    """End this process, and what it has started, soon after its parent has ended, even by kill -9."""
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os.killpg(0, signal.SIGTERM)
    time.sleep(LAST_S)
    os.killpg(0, signal.SIGKILL)


def _end_now(status: int) -> NoReturn:
    """Without Python's own ending, which takes seconds once torch is loaded."""
    os._exit(status)
