"""kill -9 at random moments of a sweep, and a sweep started several times at once; in full: benchmarks/kill_test.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"


@pytest.mark.slow
def test_nothing_is_lost_half_done_or_done_twice():
    options = ["--kills", "3", "--at-once", "3", "--seed", "7"]
    ran = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
