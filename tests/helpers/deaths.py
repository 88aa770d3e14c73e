"""Functions that end their process in every way; called by name in a process of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from os import _exit as exit_really  # itself: while a plugin is called, the name in `os` raises an error
from pathlib import Path


def pid(tell):
    tell("step", "looking")
    return os.getpid()


def raises(tell):
    raise ValueError("no such thing")


def exits(status, tell):
    tell("step", "leaving")
    exit_really(status)


def segfault(tell):
    tell("step", "falling")
    ctypes.string_at(0)


def is_killed(tell):
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(seconds, tell):
    tell("step", "sleeping")
    time.sleep(seconds)


def is_deaf(tell):
    """Swallows every interruption."""
    tell("step", "sleeping")
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            continue


def computes_stages(seconds, tell):
    """A selection that asks for features, which take so long, and waits for another process as long."""
    for event, kind in (("asked", "selection"), ("begun", "selection"), ("asked", "features"), ("begun", "features")):
        tell(event, kind)
    time.sleep(seconds)
    tell("left", "features")
    tell("asked", "tokens")
    time.sleep(seconds)
    tell("left", "tokens")
    tell("left", "selection")
    return "done"


def leaves_a_child(file, then, tell):
    """Starts a program that has the pipes of this process, and ends or goes on."""
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(program) if then == "exec" else os.fork()
    if child == 0:
        time.sleep(600)
    number = child.pid if then == "exec" else child
    Path(file).write_text(f"{os.getpid()} {number}")
    os.kill(os.getpid(), signal.SIGKILL)


def writes_pid_and_sleeps(file, tell):
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)


def signals_itself(names, tell):
    """Sends itself signals, as SLURM does to every process of a job."""
    for name in names:
        os.kill(os.getpid(), signal.Signals[name])
        time.sleep(0.2)
    return "alive"
