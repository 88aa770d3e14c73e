"""Ctrl-C ends the command: in order where Python can, at once when it is pressed again or the order takes too long."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_exit = os._exit  # itself: while a plugin is called, the name in `os` raises an error (run/plugin_call.py)
STATUS = 130  # 128 + SIGINT, as a shell reports a program that Ctrl-C has ended
# Seconds that the program has for ending in order: giving locks back, deleting working folders. Whatever is in the store
# is whole at every moment, so that it may be stopped at any. Code that swallows the KeyboardInterrupt would go on for ever.
GRACE_S = 5.0
MESSAGE = "interrupted. What was finished is kept: the same command goes on from there."


@contextmanager
def watched() -> Iterator[None]:
    """Ends the process GRACE_S after the first SIGINT, if it is still in the block, and at once after the second.

    The first raises KeyboardInterrupt in the main thread, as always. A thread notices signals also while the main thread
    computes outside Python.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    heard.settimeout(None)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()


def _watch(heard: socket.socket) -> None:
    """Read the numbers of the signals that arrive, until the block has ended."""
    with heard:
        while number := _next_signal(heard):
            if number == signal.SIGINT:
                heard.settimeout(GRACE_S)
                while number := _next_signal(heard):
                    if number in (signal.SIGINT, -1):
                        os.write(2, f"\nerror: {MESSAGE}\n".encode())
                        _exit(STATUS)


def _next_signal(heard: socket.socket) -> int:
    """The number of the next signal; 0 once the block has ended, -1 if none has come in time."""
    try:
        found = heard.recv(1)
    except TimeoutError:
        return -1
    except OSError:
        return 0
    return found[0] if found else 0


def end_now(status: int) -> None:
    """End the process without Python's own ending, which takes seconds once torch is loaded; its children end too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a closed pipe
            stream.flush()
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            with suppress(Exception):
                child.terminate()
    _exit(status)
