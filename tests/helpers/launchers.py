"""Launchers of tests: which are installed, and the command line in a process of its own, at one thread."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "from selbench.cli.main import main; main()"]
LIMIT_S = 400.0  # generous: joblib's processes and Ray take a while to start on a busy machine
NEEDS = {  # launcher -> the plugin of Hydra's and the extra that brings it
    "processes": ("hydra_joblib_launcher", "joblib"),
    "ray_cluster": ("hydra_ray_launcher", "ray"),
    "submitit_local": ("hydra_submitit_launcher", "slurm"),
}


def installed(launcher: str) -> bool:
    plugin, _ = NEEDS[launcher]
    return importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None


def with_launchers(*names: str, slow: tuple[str, ...] = ()) -> list[Any]:
    """Parameters of a test, one for each launcher; one that is not installed is skipped, and says what to install."""
    return [
        pytest.param(
            name,
            marks=[
                pytest.mark.skipif(
                    name in NEEDS and not installed(name),
                    reason=f"{name} is not installed: pip install 'selbench[{NEEDS.get(name, ('', ''))[1]}]'",
                ),
                *([pytest.mark.slow] if name in slow else []),
            ],
        )
        for name in names
    ]


def run_command(*arguments: str, site: Path | None = None, **environ: str | None) -> subprocess.CompletedProcess[str]:
    """Run `selbench ...` with one thread.

    Args:
        site: a folder of installed packages that it finds too.
        environ: variables of its environment; None for one that it is not to have.
    """
    path = os.pathsep.join([*([str(site)] if site else []), os.environ.get("PYTHONPATH", "")])
    given = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environ}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={name: value for name, value in given.items() if value is not None},
    )
