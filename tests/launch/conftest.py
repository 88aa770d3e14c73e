"""Fixtures of the tests of launchers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "sample_plugin"


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed a stranger's package with an entry point, which brings the selector `shortest`."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["cp", "-r", str(SAMPLE), str(folder / "sample")], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "sample")], check=True, capture_output=True)
    return folder / "site"
