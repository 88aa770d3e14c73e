"""A program of somebody else's, run with its output in a log file, and ended with all that it has started."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# Between SIGTERM and SIGKILL, in seconds. selbench itself has 5 s to end after Ctrl-C.
GRACE_S = 3.0
EVERY_S = 0.2  # between two looks at the log
TAIL = 20  # lines of the log in an error message
WIDTH = 300  # characters of such a line
# Names of environment variables and of keys whose values are secrets.
SECRET = re.compile(r"(?i)(^|_)(token|secret|password|passwd|key|credentials?)$")
# Replaces itself by the program. On Linux the program gets SIGTERM when selbench dies, even by SIGKILL: nobody is left then
# who could end it. The parent may have died already. It is not set between fork and exec of this process, which has threads.
START = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
    if os.getppid() != int(sys.argv[1]):
        sys.exit(143)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}")
"""


class ToolProcess:
    """One run of a program."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], log: Path, timeout: float | None) -> None:
        self.words, self.env, self.log, self.timeout = list(words), dict(env), log, timeout
        self.status: int | None = None  # the exit status, negative for a signal; None before it has ended
        self.timed_out = False
        self.seconds = 0.0

    @property
    def command(self) -> str:
        """The command line as a shell would take it, shortened."""
        text = shlex.join(self.words)
        return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."

    def lines(self) -> Generator[str, None, None]:
        """Start the program, and yield the lines of its log until it has ended.

        Whenever the iteration ends, also by KeyboardInterrupt or `close()`, the program and its children have ended, and
        values of secrets in the environment are no longer in the log.
        """
        begun = time.monotonic()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, str(os.getpid()), *self.words],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own: Ctrl-C does not reach it, and it can be ended whole
            )
        read = 0
        try:
            while self.status is None:
                with suppress(subprocess.TimeoutExpired):
                    self.status = process.wait(EVERY_S)
                self.seconds = time.monotonic() - begun
                if self.status is None and self.timeout and self.seconds > self.timeout:
                    self.timed_out = True
                    return
                new = _from(self.log, read)
                read += len(new)
                yield from _lines_of(new)[-1:] if self.status is None else _lines_of(new)
        finally:
            _end_group(process)
            self.status = process.returncode
            _hide_secrets(self.log, self.env)

    def failure(self) -> str:
        """How the program ended, where that was no success: `ended with exit status 1 after 12 s`; empty for status 0."""
        took = f"after {self.seconds:.0f} s"
        if self.timed_out:
            return f"had not ended {took} (trainer.timeout={self.timeout:g}) and was ended"
        if self.status is not None and self.status < 0:
            name = signal.Signals(-self.status).name
            memory = "; the system does that where memory has run out" if name == "SIGKILL" else ""
            return f"was ended by {name} {took}{memory}"
        return f"ended with exit status {self.status} {took}" if self.status else ""

    def tail(self) -> str:
        """The last lines of the log with its path, for the end of an error message."""
        found = _lines_of(_from(self.log, max(0, self.log.stat().st_size - TAIL * WIDTH * 4)))[-TAIL:]
        if not found:
            return f"It has written nothing to its log ({self.log})."
        return f"The end of its log ({self.log}):\n" + "\n".join(f"    {line[:WIDTH]}" for line in found)


def _from(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _lines_of(content: bytes) -> list[str]:
    """Lines that are not empty; of a progress bar, which a carriage return draws anew, the last state."""
    lines = content.decode(errors="replace").replace("\r\n", "\n").split("\n")
    last = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines]
    return [line for line in last if line]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the program, if it runs, and what is left of its process group: SIGTERM, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


def _hide_secrets(log: Path, env: Mapping[str, str]) -> None:
    secrets = {value.encode() for name, value in env.items() if SECRET.search(name) and len(value) >= 8}
    content = log.read_bytes()
    found = [secret for secret in secrets if secret in content]
    for secret in sorted(found, key=len, reverse=True):
        content = content.replace(secret, b"***")
    if found:
        log.write_bytes(content)


def first_output(words: Sequence[str], env: Mapping[str, str], timeout: float) -> tuple[int, str]:
    """Exit status and standard output of a short program; 124 if it has not ended in time."""
    try:
        ended = subprocess.run(
            list(words), env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    except OSError as error:
        return 127, str(error)
    return ended.returncode, ended.stdout.decode(errors="replace").strip()
