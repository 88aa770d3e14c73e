"""A process that carries out one piece of work after another, is watched while it does, and is replaced when it dies."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from selbench.launch.isolation import Limits
from selbench.launch.slurm_jobs import reason_of_end
from selbench.launch.stage_clock import StageClock
from selbench.numbers import duration_text

LOOK_S = 0.2  # how often the process and the limits are looked at
# What a process has for ending in order: less than the command itself has after Ctrl-C (cli/interrupt.py).
GRACE_S = 4.0
NAMED = {
    signal.SIGKILL: "was killed by signal SIGKILL, most often for lack of memory",
    signal.SIGSEGV: "crashed: segmentation fault (SIGSEGV)",
    signal.SIGABRT: "crashed: aborted (SIGABRT)",
    signal.SIGBUS: "crashed: bus error (SIGBUS)",
}


class ProcessEndedError(Exception):
    """The process is gone before it has answered. The text says how and in which step."""

    def __init__(self, text: str, *, limit: bool = False, stack: str = "") -> None:
        super().__init__(text)
        self.limit = limit  # whether it was ended because of a time limit
        self.stack = stack  # where the process was, if it crashed


class JobEndsError(ProcessEndedError):
    """The launcher has ended the job that asked, as at its time limit, and with it the process."""


class NotCarriedOutError(Exception):
    """The function has raised something, in a process that lives on; or what it was to be given cannot be sent there."""


def ending(status: int) -> str:
    """How a process has ended, from its exit status (-9: by signal 9), as a clause without its subject."""
    if status >= 0:
        return f"ended with status {status}, as by os._exit({status})"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"was ended by signal {-status}"
    return NAMED.get(number, f"was ended by signal {number.name}")


class KeptProcess:
    """A Python process with this one's environment and sys.path, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._step = ""  # what the process is doing
        self._requests: Connection
        self._replies: Connection
        self._faults: Path
        atexit.register(self.close)

    def call(self, module: str, function: str, arguments: tuple[Any, ...], limits: Limits = Limits()) -> Any:  # noqa: B008
        """What the function of that name returns for the arguments, which are pickled, in the kept process.

        The function is given `tell` as well: a function that takes ("step", text), or an event of the store (see
        store/stages.py). Raises ProcessEndedError if the process dies, or reaches a limit and is ended; NotCarriedOutError with
        the text of what the function raises; JobEndsError for what a handler of signals raises here. On KeyboardInterrupt the
        process is interrupted too.
        """
        try:
            request = pickle.dumps((module, function, arguments, os.getcwd(), sys.argv))
        except Exception as error:  # whatever a stranger's object raises
            raise NotCarriedOutError(
                f"it cannot be sent to a process of its own: {type(error).__name__}: {error}"
            ) from error
        if self._process is None or self._process.poll() is not None:
            self._start()
        try:
            with suppress(BrokenPipeError):  # the answer is that it is gone
                self._requests.send_bytes(request)
            raised, content = self._answer(limits)
        except ProcessEndedError:
            raise
        except KeyboardInterrupt:
            self._end(signal.SIGINT)
            raise
        except Exception as error:  # a handler of the launcher's, when the job has to end
            self._end(signal.SIGINT)
            raise JobEndsError(f"{reason_of_end(error)}{_while(self._step)}") from error
        except BaseException:  # the same, when the job will start again
            self._end(signal.SIGINT)
            raise
        if raised:
            raise NotCarriedOutError(content)
        return content

    def _start(self) -> None:
        self.close()
        with tempfile.NamedTemporaryFile(prefix="selbench-faults-", delete=False) as file:
            self._faults = Path(file.name)
        theirs, ours = os.pipe()
        back, into = os.pipe()
        # Not with multiprocessing, because a launcher's processes may not start children with it, or run a __main__ that must
        # not be imported; not with -m, because the working directory would then be searched for modules first.
        code = (
            f"import sys; sys.path[:] = {[path or os.getcwd() for path in sys.path]!r}; from selbench.launch.child import main; "
            f"main({os.getpid()}, {theirs}, {into}, {str(self._faults)!r})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=(theirs, into), stdin=subprocess.DEVNULL, start_new_session=True
        )
        os.close(theirs)
        os.close(into)
        self._requests, self._replies = Connection(ours, readable=False), Connection(back, writable=False)

    def _answer(self, limits: Limits) -> tuple[bool, Any]:
        """Whether the function has raised something, and the text of that; else what it returned."""
        clock, started, self._step = StageClock(), time.monotonic(), ""
        while True:
            gone = self._process is None or self._process.poll() is not None
            try:
                # A program that outlives the process may hold its end of the pipe: that it is gone counts, once all is read.
                if self._replies.poll(0 if gone else LOOK_S):
                    kind, content = self._replies.recv()
                    if kind != "told":
                        return kind == "raised", content
                    event, text = content
                    if event == "step":
                        self._step = text
                    else:
                        clock.note(event, text, time.monotonic())
                elif gone:
                    raise EOFError
            except (EOFError, ConnectionError):
                raise self._ended() from None
            self._check(limits, clock, started)

    def _ended(self) -> ProcessEndedError:
        assert self._process
        with suppress(subprocess.TimeoutExpired):  # the pipe is closed a little before the process is gone
            self._process.wait(GRACE_S)
        status = self._process.poll()
        how = "has closed its connection" if status is None else ending(status)
        stack = self._faults.read_text(errors="replace") if self._faults.exists() else ""
        self._end(signal.SIGKILL)
        return ProcessEndedError(f"its process {how}{_while(self._step)}", stack=stack)

    def _check(self, limits: Limits, clock: StageClock, started: float) -> None:
        """Ends the process and raises ProcessEndedError if a limit is reached."""
        now = time.monotonic()
        stage, seconds = clock.computing(now)
        reached = ""
        if limits.cell_s is not None and now - started > limits.cell_s:
            reached = f"cell_time_limit ({duration_text(limits.cell_s)}) was reached{_while(self._step)}"
        elif limits.stage_s is not None and seconds > limits.stage_s:
            reached = f"stage_time_limit ({duration_text(limits.stage_s)}) was reached by the stage {stage}{_while(self._step)}"
        if reached:
            self._end(signal.SIGINT)
            raise ProcessEndedError(reached, limit=True)

    def _end(self, number: signal.Signals) -> None:
        """Send the signal to the process and to what it has started; what has not ended in GRACE_S is killed."""
        if self._process is None:
            return
        self._send(number)
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
        finally:
            self._send(signal.SIGKILL)
            self._process.wait()
            self._forget()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)  # type: ignore[union-attr]

    def _forget(self) -> None:
        self._process = None
        self._faults.unlink(missing_ok=True)
        for connection in (self._requests, self._replies):
            connection.close()

    def close(self) -> None:
        """Let the process end, which it does when nothing is asked of it any more."""
        if self._process is None:
            return
        self._requests.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self._send(signal.SIGKILL)
        self._process.wait()
        self._forget()


def _while(step: str) -> str:
    return f", in the step: {step}" if step else ", before its first step"
