"""The kept process: it is kept, replaced when it dies, ended at a limit, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selbench.errors import UserError
from selbench.launch.isolation import Limits, _seconds
from selbench.launch.kept_process import JobEndsError, KeptProcess, NotCarriedOutError, ProcessEndedError
from selbench.launch.stage_clock import StageClock

HERE = "helpers.deaths"
LIMIT_S = 60.0


@pytest.fixture
def kept():
    process = KeptProcess()
    yield process
    process.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    until = time.monotonic() + LIMIT_S
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return not is_running(pid)


def test_it_is_another_process_and_the_same_one_again(kept):
    first = kept.call(HERE, "pid", ())
    assert first != os.getpid() and kept.call(HERE, "pid", ()) == first
    with pytest.raises(NotCarriedOutError, match="ValueError: no such thing"):
        kept.call(HERE, "raises", ())
    with pytest.raises(NotCarriedOutError, match="cannot be sent to a process of its own"):
        kept.call(HERE, "pid", (lambda: 0,))
    assert kept.call(HERE, "pid", ()) == first, "an error is no death"


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        ("exits", (3,), r"its process ended with status 3, as by os._exit\(3\), in the step: leaving"),
        ("exits", (0,), "its process ended with status 0"),
        ("segfault", (), r"its process crashed: segmentation fault \(SIGSEGV\), in the step: falling"),
        ("is_killed", (), "was killed by signal SIGKILL, most often for lack of memory, before its first step"),
    ],
)
def test_it_is_replaced_when_it_dies_and_the_reason_is_known(kept, function, arguments, said):
    first = kept.call(HERE, "pid", ())
    with pytest.raises(ProcessEndedError, match=said) as ended:
        kept.call(HERE, function, arguments)
    assert not ended.value.limit and ("string_at" in ended.value.stack) == (function == "segfault")
    assert kept.call(HERE, "pid", ()) != first and ends(first)


def test_one_that_dies_between_two_requests_is_replaced(kept):
    first = kept.call(HERE, "pid", ())
    os.kill(first, signal.SIGKILL)
    assert ends(first)
    assert kept.call(HERE, "pid", ()) != first


@pytest.mark.parametrize("function", ["sleeps", "is_deaf"])
def test_a_limit_ends_it(kept, function):
    pid, began = kept.call(HERE, "pid", ()), time.monotonic()
    arguments = (600,) if function == "sleeps" else ()
    with pytest.raises(ProcessEndedError, match=r"cell_time_limit \(1 s\) was reached, in the step: sleeping") as ended:
        kept.call(HERE, function, arguments, Limits(cell_s=1.0))
    assert ended.value.limit and time.monotonic() - began < 20 and ends(pid)


def test_the_limit_of_a_stage_leaves_out_the_stages_that_it_asks_for(kept):
    with pytest.raises(ProcessEndedError, match=r"stage_time_limit \(1 s\) was reached by the stage features"):
        kept.call(HERE, "computes_stages", (600.0,), Limits(stage_s=1.0))
    assert kept.call(HERE, "computes_stages", (1.5,), Limits(stage_s=2.5)) == "done", "3 s in all, none above 2.5"


def test_the_clock_of_stages():
    clock = StageClock()
    events = [("asked", "selection", 0), ("begun", "selection", 1), ("asked", "features", 3), ("begun", "features", 10)]
    for event, kind, now in events:
        clock.note(event, kind, now)
    assert clock.computing(12) == ("features", 2)
    clock.note("left", "features", 14)
    assert clock.computing(15) == ("selection", 3), "two seconds before the features, one after"
    clock.note("left", "selection", 16)
    assert clock.computing(20) == ("", 0.0)


@pytest.mark.parametrize("how", ["exec", "fork"])
def test_what_it_has_started_ends_with_it(kept, tmp_path, how):
    began = time.monotonic()
    with pytest.raises(ProcessEndedError, match="SIGKILL"):
        kept.call(HERE, "leaves_a_child", (str(tmp_path / "pids"), how))
    assert time.monotonic() - began < 20, "its child has the pipes open, and is not waited for"
    assert all(ends(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_it_ends_soon_after_its_parent_is_killed(tmp_path):
    code = (
        "import sys; from selbench.launch.kept_process import KeptProcess; "
        f"KeptProcess().call({HERE!r}, 'writes_pid_and_sleeps', ({str(tmp_path / 'pid')!r},))"
    )
    path = os.pathsep.join(filter(None, sys.path))
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    until = time.monotonic() + LIMIT_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    assert ends(pid)


@pytest.mark.parametrize(
    ("typed", "seconds"), [("30s", 30), ("90m", 5400), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400)]
)
def test_durations(typed, seconds):
    assert _seconds("cell_time_limit", typed) == seconds


@pytest.mark.parametrize("typed", ["90", "soon", "2h later", "", "0s", "-1h", "1h 30"])
def test_what_is_no_duration_is_refused(typed):
    with pytest.raises(UserError, match=r"cell_time_limit=.*write a number with its unit"):
        _seconds("cell_time_limit", typed)


def test_signals_that_slurm_sends_to_all_processes_of_a_job_are_left_to_the_job(monkeypatch):
    with pytest.raises(ProcessEndedError, match="SIGUSR2"):
        KeptProcess().call(HERE, "signals_itself", (["SIGUSR2"],))
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    assert KeptProcess().call(HERE, "signals_itself", (["SIGUSR2", "SIGTERM"],)) == "alive"


def test_a_handler_that_ends_the_job_ends_the_process_and_names_the_step(monkeypatch):
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")

    def reached(number, frame):
        raise RuntimeError("Job not requeued because: timed-out too many times.")

    before = signal.signal(signal.SIGALRM, reached)
    signal.alarm(4)
    kept = KeptProcess()
    try:
        with pytest.raises(JobEndsError, match=r"time limit of SLURM's .*, in the step: sleeping"):
            kept.call(HERE, "sleeps", (600,))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert kept._process is None, "it is gone"
