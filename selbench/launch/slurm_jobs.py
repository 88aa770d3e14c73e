"""Waiting for jobs of SLURM's so that the loss of one is the loss of one, and no end of the sweep.

submitit's own waiting raises the first error and leaves the other jobs unwatched, and without accounting (sacct) it waits
for ever for a job that has ended without a result. Here each job is waited for, and one that SLURM has ended is noted.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOOK_S = 0.5  # how often the results are looked for
ASK_S = 15.0  # how often SLURM is asked for its queue
LATE_S = 20.0  # how long a result may take to appear on a shared file system after its job has ended
# States of jobs that run, will run or may run again; see squeue's manual page, "JOB STATE CODES".
ALIVE = {
    *("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
}
SAID = {
    "TIMEOUT": "reached its time limit",
    "NODE_FAIL": "lost its node",
    "OUT_OF_MEMORY": "was killed for lack of memory",
    "CANCELLED": "was cancelled",
    "PREEMPTED": "was preempted",
    "BOOT_FAIL": "found its node unable to start",
    "DEADLINE": "reached its deadline",
    "FAILED": "failed",
}


def reason_of_end(error: Exception) -> str:
    """What submitit's handler of signals means by the error that it raises in a job that has to end, as a clause."""
    text = str(error).rstrip(".") or type(error).__name__
    if "timed-out" not in text:
        return f"its job was ended ({text})"
    return (
        "its job reached the time limit of SLURM's (hydra.launcher.timeout_min), and is not started again more often than "
        "hydra.launcher.max_num_timeout says"
    )


@dataclass(frozen=True)
class Gone:
    """Takes the place of what a job would have returned."""

    return_value: None = None


@dataclass
class Queue:
    """The states of the jobs of one array, asked for at most every ASK_S seconds."""

    array: str
    asked: float = field(default_factory=time.monotonic)
    states: dict[str, str] = field(default_factory=dict)  # of those that SLURM still knows, by their id
    known: bool = False  # whether SLURM has answered at all since

    def state(self, job: str) -> str | None:
        """The state of a job; empty if SLURM does not know it any more; None if it has not been asked yet."""
        if time.monotonic() - self.asked >= ASK_S:
            self._ask()
        return self.states.get(job, "") if self.known else None

    def _ask(self) -> None:
        command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={self.array}", "--format=%i %T"]
        self.asked = time.monotonic()
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return
        if (
            ended.returncode and "Invalid job id" not in ended.stderr
        ):  # its controller does not answer: it may be back soon
            return
        self.known = True
        self.states = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if " " in line)


class WatchedJob:
    """One job of submitit's, as far as Hydra's launcher waits for it."""

    def __init__(self, job: Any, queue: Queue, lose: Callable[[str], None]) -> None:
        self._job, self._queue, self._lose = job, queue, lose

    def results(self) -> list[Any]:
        """Wait until the job has ended: what its tasks have returned, or `Gone`."""
        ended = None  # since when SLURM says that it has ended
        result = Path(self._job.paths.result_pickle)
        while not _visible(result):
            state = self._queue.state(self._job.job_id)
            if state is None or (state.split()[:1] and state.split()[0] in ALIVE):
                ended = None
            elif ended is None:
                ended = time.monotonic()
            elif time.monotonic() - ended > LATE_S:
                return self._gone(
                    SAID.get(state.rstrip("+"), f"ended ({state})") if state else "is in the queue no more"
                )
            time.sleep(LOOK_S)
        status, value = self._job._get_outcome_and_result()
        if status == "error":
            return self._gone(f"failed: {str(value).strip().splitlines()[-1]}")
        return [value]

    def _gone(self, how: str) -> list[Any]:
        self._lose(f"its job {self._job.job_id} of SLURM's {how} (log: {self._job.paths.stderr})")
        return [Gone()]


def _visible(file: Path) -> bool:
    """Whether a file exists, on a file system that may keep an old listing of its folder, too."""
    with suppress(OSError):
        file.parent.chmod(file.parent.stat().st_mode)
    return file.exists()


@contextmanager
def jobs_watched(engine: str, say: Callable[[str], None]) -> Iterator[dict[int, str]]:
    """While in the block, what Hydra's launcher submits to SLURM is waited for as above, if this is the launcher's engine.

    Yields number of a job -> why it is lost, a clause that begins with "its job", of the last wave that was launched.
    """
    lost: dict[int, str] = {}
    if engine != "submitit_slurm":
        yield lost
        return
    import submitit

    executors: Any = submitit.AutoExecutor
    submit = executors.map_array

    def map_array(executor: Any, function: Any, *columns: Any) -> list[WatchedJob]:
        numbers = list(
            columns[2]
        )  # of (overrides, key of the folder, number, ...), as Hydra's launcher hands them over
        lost.clear()
        jobs = submit(executor, function, *columns)
        queue = Queue(str(jobs[0].job_id).partition("_")[0])

        def lose(number: int) -> Callable[[str], None]:
            def note(reason: str) -> None:
                lost[number] = reason
                say(f"job {number + 1} of {len(numbers)}: {reason}")

            return note

        return [WatchedJob(job, queue, lose(number)) for number, job in zip(numbers, jobs)]

    executors.map_array = map_array
    try:
        yield lost
    finally:
        executors.map_array = submit
