"""Ctrl-C and SIGTERM end the command: in order where Python can, at once at a second signal or if the order takes too long."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_exit = os._exit  # itself: while a plugin is called, the name in `os` raises an error (run/plugin_call.py)
# Exit statuses as a shell reports them for a program that the signal has ended: 128 + its number.
STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143}
# Seconds that the program has for ending in order: giving locks back, deleting working folders. Whatever is in the store
# is whole at every moment, so that it may be stopped at any. Code that swallows the KeyboardInterrupt would go on for ever,
# and so would, for as long as it takes, a computation outside Python. SLURM kills 30 s after its SIGTERM.
GRACE_S = 5.0
KEPT = "What was finished is kept: the same command goes on from there."


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived. All code that lets Ctrl-C pass lets this pass."""


@contextmanager
def watched() -> Iterator[None]:
    """Ends the process GRACE_S after the first SIGINT or SIGTERM, if it is still in the block, and at once after the second.

    The first raises KeyboardInterrupt or Terminated in the main thread. A thread notices signals also while the main
    thread computes outside Python.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    heard.settimeout(None)
    fd_before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # whoever started the command may have it ignored
        signal.signal(signal.SIGTERM, _terminate)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave_watch)
    threading.Thread(target=_watch, args=(heard,), daemon=True).start()
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(fd_before)
        told.close()


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _leave_watch() -> None:
    """In a forked child: its signals are no news for the parent, and SIGTERM ends it at once, as pools of workers expect."""
    with suppress(ValueError):  # no main thread
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _watch(heard: socket.socket) -> None:
    """Read the numbers of the signals that arrive, until the block has ended."""
    with heard:
        while first := _next_signal(heard):
            if first in STATUSES:
                heard.settimeout(GRACE_S)
                while number := _next_signal(heard):
                    if number in (*STATUSES, -1):
                        os.write(2, f"\nerror: {message(first)}\n".encode())
                        _end_children()
                        _exit(STATUSES[signal.Signals(first)])


def _next_signal(heard: socket.socket) -> int:
    """The number of the next signal; 0 once the block has ended, -1 if none has come in time."""
    try:
        found = heard.recv(1)
    except TimeoutError:
        return -1
    except OSError:
        return 0
    return found[0] if found else 0


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal that raised it."""
    return signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT


def message(number: int) -> str:
    """The line that is printed when this signal ends the command."""
    return f"{'terminated (SIGTERM)' if number == signal.SIGTERM else 'interrupted'}. {KEPT}"


def end_now(status: int) -> NoReturn:
    """End the process without Python's own ending, which takes seconds once torch is loaded; its children end too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a closed pipe
            stream.flush()
    _end_children()
    _exit(status)


def _end_children() -> None:
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            with suppress(Exception):
                child.terminate()
