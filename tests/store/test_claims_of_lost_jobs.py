"""What a job had taken on a machine that is lost: the job that is started in its place waits until it may have it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from selbench.store import locks
from selbench.store.claims import Claims

LEASE_S = 3.0
TAKE = """
import socket, sys
socket.gethostname = lambda: "elsewhere"
from pathlib import Path
from selbench.store import locks
locks.LEASE_S = float(sys.argv[2])
from selbench.store.claims import Claims
never = lambda number: False
with Claims(Path(sys.argv[1]), "cell", shared=True).first_free([0], never, never, job=7) as taken:
    print(taken, flush=True)
    sys.stdin.read()
"""


def never(number: int) -> bool:
    return False


@pytest.fixture
def elsewhere(tmp_path):
    """A process that has taken piece 0 as job 7, on another machine as far as one can tell."""
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE, str(tmp_path), str(LEASE_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline().strip() == "0"
    yield process
    process.kill()
    process.wait()


def test_a_job_started_anew_takes_what_its_lost_process_had(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_S", LEASE_S)
    claims = Claims(tmp_path, "cell", shared=True)
    elsewhere.kill()
    with claims.first_free([0], never, never, job=8) as taken:
        assert taken is None, "another job leaves it to job 7"
    began = time.monotonic()
    with claims.first_free([0], never, never, job=7) as taken:
        assert taken == 0 and time.monotonic() - began > LEASE_S / 2
    assert claims.taker(0) == 7 and claims.taker(1) is None


def test_it_leaves_it_to_a_process_that_goes_on(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_S", LEASE_S)
    end = time.monotonic() + 2 * LEASE_S
    with Claims(tmp_path, "cell", shared=True).first_free(
        [0], lambda number: time.monotonic() > end, never, job=7
    ) as taken:
        assert taken is None and time.monotonic() > end, "the lease was renewed until the piece had ended"
