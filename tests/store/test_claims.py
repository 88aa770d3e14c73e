"""Which piece of work a job takes: one that nobody has, and none that waits while another is free."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from selbench.store.claims import Claims

HOLD = """
import sys
from pathlib import Path
from selbench.store.claims import Claims
with Claims(Path(sys.argv[1]), "cell").first_free([int(sys.argv[2])], lambda n: False, lambda n: False) as taken:
    print(taken, flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(folder, number):
    """Another process that has taken a piece; killing it is how the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline().strip() == str(number)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def never(number: int) -> bool:
    return False


@pytest.mark.parametrize("shared", [False])
def test_a_job_goes_on_with_another_cell_where_its_own_is_taken(tmp_path, shared):
    claims = Claims(tmp_path, "cell", shared=shared)
    with held(tmp_path, 1):
        with claims.first_free([1, 2, 0], never, never) as taken:
            assert taken == 2
        with claims.first_free([1], never, never) as taken:
            assert taken is None
    with claims.first_free([1, 2], never, never) as taken:
        assert taken == 1, "what a killed job has taken is free again"


def test_what_another_sweep_is_at_comes_last(tmp_path):
    claims = Claims(tmp_path, "cell")
    with claims.first_free([0, 1, 2], lambda number: number == 2, lambda number: number == 0) as taken:
        assert taken == 1
    with claims.first_free([0, 1, 2], lambda number: number > 0, lambda number: number == 0) as taken:
        assert taken == 0, "it waits for it only if nothing else is left"
    with claims.first_free([0, 1, 2], lambda number: True, never) as taken:
        assert taken is None


def test_a_job_waits_for_a_stage_to_get_ready_but_for_none_that_others_compute(tmp_path):
    claims, ended = Claims(tmp_path, "cell"), set()
    with held(tmp_path, 0):
        with claims.first_ready([0], ended.__contains__, lambda number: True) as taken:
            assert taken is None
        threading.Timer(1.0, ended.add, [0]).start()
        began = time.monotonic()
        with claims.first_ready([0, 1], ended.__contains__, lambda number: number == 0 or 0 in ended) as taken:
            assert taken == 1 and time.monotonic() - began >= 1.0
    assert os.listdir(tmp_path) == [".locks"]
