"""docs/scale.md says what `selbench plan` says of experiment=scale."""

from __future__ import annotations

import json
from pathlib import Path

import plan_scale
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.mark.slow
def test_a_slice_of_the_plan_has_the_rows_of_the_page(selbench, tmp_path):
    """One model, seed and budget of the thousand cells; memory and features do not depend on the other axes."""
    slice_of = ["seed=0", "model=llama-2-13b", "budget=1000000", f"output_dir={tmp_path}"]
    ran = selbench("plan", "-m", *plan_scale.SETTINGS, *slice_of, "--json")
    found = json.loads(ran.out)
    page = PAGE.read_text()
    features = plan_scale.features_table(found)
    assert len(features) == 2 + 7
    for row in features[2:]:
        name, times, *figures = (cell.strip() for cell in row.strip("|").split("|"))
        assert times == "1"
        of_seeds = "5" if name in ("SparseAutoencoder", "SaeTags") else "1"
        assert "| " + " | ".join([name, of_seeds, *figures]) + " |" in page
    hours = [stage["seconds"] / 3600 for stage in found["stages"] if stage["stage"] == "training"]
    (row,) = [line for line in page.splitlines() if line.startswith("| llama-2-13b |")]
    # Ten methods here, and five seeds of each on the page.
    assert len(hours) == 10 and f" {5 * sum(hours):,.0f} h |" in row
    (memory,) = {stage["memory"] for stage in found["stages"] if stage["stage"] == "training"}
    assert row.endswith(f"| {memory / 1e9:.1f} GB |")
