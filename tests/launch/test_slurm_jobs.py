"""Waiting for jobs of SLURM's, with a stand-in for squeue: what has no result and is not queued any more is lost."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from selbench.launch import slurm_jobs
from selbench.launch.slurm_jobs import Gone, Queue, WatchedJob, reason_of_end


class Job:
    """As far as submitit's jobs are used."""

    def __init__(self, folder: Path) -> None:
        self.job_id = "8_3"
        self.paths = SimpleNamespace(result_pickle=folder / "result.pkl", stderr=folder / "log.err")

    def _get_outcome_and_result(self):
        return pickle.loads(self.paths.result_pickle.read_bytes())


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """`squeue(script)` stands in for SLURM's command, which is asked all the time."""
    for name, seconds in (("ASK_S", 0.0), ("LATE_S", 0.5), ("LOOK_S", 0.05)):
        monkeypatch.setattr(slurm_jobs, name, seconds)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def stand_in(script: str) -> None:
        file = tmp_path / "bin" / "squeue"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    return stand_in


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo '8_3 CANCELLED'", "its job 8_3 of SLURM's was cancelled"),
        ("echo '8_3 NODE_FAIL'", "its job 8_3 of SLURM's lost its node"),
        ("echo '8_3 REVOKED'", "its job 8_3 of SLURM's ended (REVOKED)"),
        ("echo '8_2 RUNNING'", "its job 8_3 of SLURM's is in the queue no more"),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "is in the queue no more"),
    ],
)
def test_a_job_that_has_ended_without_a_result_is_lost(tmp_path, squeue, script, said):
    squeue(script)
    lost: list[str] = []
    assert WatchedJob(Job(tmp_path), Queue("8"), lost.append).results() == [Gone()]
    assert said in lost[0] and str(tmp_path / "log.err") in lost[0]


@pytest.mark.parametrize("script", ["echo '8_3 PENDING'", "echo 'Unable to contact slurm controller' >&2; exit 1"])
def test_a_job_that_may_still_run_is_waited_for(tmp_path, squeue, script):
    squeue(script)
    job = Job(tmp_path)
    content = pickle.dumps(("success", "what it returned"))
    threading.Timer(2.0, lambda: job.paths.result_pickle.write_bytes(content)).start()
    lost: list[str] = []
    assert WatchedJob(job, Queue("8"), lost.append).results() == ["what it returned"] and not lost


def test_a_job_that_could_not_begin_is_lost_with_the_last_line_of_its_error(tmp_path, squeue):
    squeue("exit 1")
    job, lost = Job(tmp_path), []
    job.paths.result_pickle.write_bytes(pickle.dumps(("error", "Traceback ...\nModuleNotFoundError: no such thing\n")))
    assert WatchedJob(job, Queue("8"), lost.append).results() == [Gone()]
    assert "failed: ModuleNotFoundError: no such thing" in lost[0]


def test_the_reason_names_the_settings_of_the_time_limit():
    assert "hydra.launcher.timeout_min" in reason_of_end(
        RuntimeError("Job not requeued because: timed-out too many times.")
    )
    assert reason_of_end(ValueError()) == "its job was ended (ValueError)"
