"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import toy_runs
from helpers.hub_server import HubServer, hub_in_place

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data and models: SELBENCH_DATA, else ../shared/data beside the repository, else skip."""
    folder = Path(os.environ.get("SELBENCH_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SELBENCH_DATA")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub of the test's own, which this process asks, with empty caches."""
    with hub_in_place(monkeypatch, tmp_path / "hub_caches") as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_runs.toy_model(tmp_path_factory.mktemp("toy_model"))


@pytest.fixture(scope="session")
def toy_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_runs.toy_pool(tmp_path_factory.mktemp("toy_pool"))


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
