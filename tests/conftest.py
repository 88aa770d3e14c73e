"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
