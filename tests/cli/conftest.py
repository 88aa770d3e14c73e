"""A command line with toy plugins, a toy pool and a toy model: whole runs in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import toy_runs


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def settings(toy_model: Path, toy_pool: Path, tmp_path: Path) -> list[str]:
    """What makes a run a toy run."""
    return toy_runs.toy_settings(toy_model, toy_pool, tmp_path / "outputs")


@pytest.fixture
def selbench(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`selbench(...)` runs the command line in this process and gives exit status, output and messages."""

    def run(*arguments: str) -> Ran:
        from hydra.core.global_hydra import GlobalHydra

        from selbench.cli.main import run as command

        capfd.readouterr()
        GlobalHydra.instance().clear()
        status = command([*arguments])
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run
