"""Toy runs, composed as the command line composes them but carried out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import toy_runs

from selbench.config.runs import composed_run
from selbench.settings import Run


@pytest.fixture
def toy_run(toy_model: Path, toy_pool: Path, tmp_path: Path) -> Callable[..., Run]:
    """`toy_run("selector=random", ...)` is a run with toy plugins under `tmp_path / "outputs"`."""
    return lambda *settings: composed_run(
        [*toy_runs.toy_settings(toy_model, toy_pool, tmp_path / "outputs"), *settings]
    )
