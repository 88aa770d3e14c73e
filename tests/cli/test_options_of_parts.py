"""A grid whose options are for some of its selectors: cells, their own commands, and runs again."""

from __future__ import annotations

import json
import shlex

from helpers.recorded import records


def test_cells_run_and_compose_by_themselves(selbench, settings, tmp_path):
    ran = selbench("-m", *settings, "selector=random,kcenter_tfidf", "selector.kcenter_tfidf.dimension=4,8", "seed=0,0")
    assert ran.status == 0, ran.err
    assert "3 of 3 cells" in " ".join(ran.err.split())
    outputs = tmp_path / "outputs"
    (sweep,) = (outputs / "sweeps").glob("*/sweep.json")
    rows = json.loads(sweep.read_text())["rows"]
    assert [[text for text in row["overrides"] if text.startswith("selector")] for row in rows] == [
        ["selector=random"],
        ["selector=kcenter_tfidf", "selector.dimension=4"],
        ["selector=kcenter_tfidf", "selector.dimension=8"],
    ]
    assert {record["key"] for record in records(outputs)} == {row["key"] for row in rows}
    shown = selbench("show", "latest/3", "--outputs", str(outputs)).out
    (line,) = [text for text in shown.splitlines() if text.startswith("by itself")]
    alone = selbench(*shlex.split(line.removeprefix("by itself"))[1:])
    assert alone.status == 0 and "already done" in alone.err
    again = selbench("rerun", "latest/3", "--outputs", str(outputs))
    assert again.status == 0 and "identical" in again.out


def test_an_option_that_no_selector_has_stops_the_grid_before_it_starts(selbench, settings, tmp_path):
    for verb in ([], ["plan"]):
        ran = selbench(*verb, "-m", *settings, "selector=random,kcenter", "selector.encodr=x")
        assert ran.status == 2 and "Did you mean 'selector.encoder'?" in " ".join(ran.err.split())
    assert records(tmp_path / "outputs") == []
