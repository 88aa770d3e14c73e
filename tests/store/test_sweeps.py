"""Sweeps: how their cells have ended."""

from __future__ import annotations

from selbench.store.sweeps import Outcome, Sweep


def _sweep(folder, *ended: tuple[str, bool], cells: int) -> Sweep:
    sweep = Sweep(folder, "s")
    sweep.start("selbench -m", "default", [{}] * cells)
    for cell, (status, reused) in enumerate(ended):
        sweep.done(cell, f"k{cell}", status, reused)
    return sweep


def test_cells_are_counted_by_how_they_ended(tmp_path):
    ended = [("finished", False), ("finished", True), ("skipped", True), ("failed", False), ("stopped", False)]
    outcome = _sweep(tmp_path, *ended, cells=7).outcome()
    # A skipped cell whose record existed is not among the reused ones; stopped cells and those of an interruption
    # did not start.
    assert outcome == Outcome(cells=7, finished=2, reused=1, skipped=1, failed=1)
    assert (outcome.ended, outcome.not_started) == (4, 3)


def test_a_sweep_before_its_first_cell(tmp_path):
    outcome = _sweep(tmp_path, cells=2).outcome()
    assert outcome == Outcome(cells=2, finished=0, reused=0, skipped=0, failed=0) and outcome.not_started == 2


def test_a_cell_whose_file_is_cut_short_has_not_ended(tmp_path):
    sweep = _sweep(tmp_path, ("finished", False), ("finished", False), cells=2)
    (sweep.folder / "done" / "1.json").write_text("{")
    assert sweep.outcome().not_started == 1
