"""A cell that a launcher gives one GPU cannot fine-tune over several."""

from __future__ import annotations

import pytest

from selbench.config import runs
from selbench.config.runs import composed
from selbench.errors import UserError

GRID = ["selector=random,longest", "hydra/launcher=processes"]


def test_several_processes_under_a_launcher_of_one_gpu_a_cell_are_refused(monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    several = [*GRID, "trainer.processes=1,4"]
    assert len(composed(several, multirun=True)) == 4  # without a GPU they share the processor
    monkeypatch.setattr(runs, "gpu_is_here", lambda: True)
    with pytest.raises(UserError, match=r"gives each cell one GPU, and trainer.processes=4 takes 4"):
        composed(several, multirun=True)
    assert len(composed(GRID, multirun=True)) == 2
    assert len(composed([several[0], several[2]], multirun=True)) == 4  # one cell after the other has all GPUs
