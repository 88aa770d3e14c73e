"""`selbench plan` against what the same grid then does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest


def _plan(selbench, *arguments: str) -> dict:
    ran = selbench("plan", *arguments, "--json")
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


def _made(outputs: Path) -> Counter:
    """The stages made by kind, without the checks of declared nestedness, which no plan counts (docs/planning.md)."""
    lines = (outputs / "store" / "executed.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    return Counter(kind for kind in kinds if kind != "prefix")


def _to_run(plan: dict) -> dict[str, int]:
    return {row["stage"]: row["to_run"] for row in plan["totals"] if row["to_run"] and row["stage"] != "total"}


def test_the_plan_counts_the_stages_that_are_then_made(selbench, settings, tmp_path):
    outputs, grid = tmp_path / "outputs", ["-m", *settings, "selector=full,longest", "budget=0.1,0.25"]
    planned = _plan(selbench, *grid)
    assert len(planned["cells"]) == 4 and all(cell["runs"] for cell in planned["cells"])
    assert not outputs.exists()  # nothing is written
    assert selbench(*grid).status == 0
    assert _to_run(planned) == _made(outputs)
    once = {"tokens": 1, "features": 1, "leaks": 1, "lengths": 1}
    assert _to_run(planned) == {**once, "selection": 2, "training": 3, "evaluation": 3}
    again = _plan(selbench, *grid)
    assert not any(cell["runs"] for cell in again["cells"]) and again["totals"][-1]["to_run"] == 0

    before = _made(outputs)
    more = ["-m", *settings, "selector=base,random,longest", "budget=0.25,0.5", "seed=0,1", "comparison=other"]
    planned = _plan(selbench, *more)
    assert selbench(*more).status == 0
    assert _to_run(planned) == _made(outputs) - before
    assert _to_run(planned) == {"selection": 3, "training": 7, "evaluation": 8}
    training = {
        (stage["basis"], stage["source"].split(", ")[0]) for stage in planned["stages"] if stage["stage"] == "training"
    }
    assert training == {("cached", "cached"), ("measured", "like 3 past stages")}


def test_the_selection_that_an_arm_copies_is_planned(selbench, settings, tmp_path):
    copy = ["selector=random", "selector.match=length", "selector.like=longest", "budget=0.25"]
    planned = _plan(selbench, *settings, *copy)
    assert selbench(*settings, *copy).status == 0
    assert _to_run(planned) == _made(tmp_path / "outputs") and _to_run(planned)["selection"] == 2


def test_reuse_none_and_retry_are_planned_for(selbench, settings, tmp_path):
    grid = ["-m", *settings, "selector=random,crashing"]
    selbench(*grid)
    cells = _plan(selbench, *grid)["cells"]
    assert [(cell["status"], cell["runs"]) for cell in cells] == [("finished", False), ("failed", False)]
    retried = _plan(selbench, *grid, "retry=failed")
    assert [cell["runs"] for cell in retried["cells"]] == [False, True]
    anew = _plan(selbench, *grid, "reuse=none")
    assert [cell["runs"] for cell in anew["cells"]] == [True, True] and anew["totals"][-1]["cached"] == 0


def test_people_get_cells_stages_and_what_can_be_shown(selbench, settings):
    ran = selbench(
        "plan", "-m", *settings, "selector=random,longest", "seed=0,1,2", "--price", "2.5", "--currency", "EUR"
    )
    assert ran.status == 0, ran.err
    assert "6 cells: 0 done, 6 to run" in ran.out and "EUR" in ran.out
    assert "a guess, as there are no past runs, for scores from 0 to 1: 3 seeds can show a difference of 0.0" in ran.out
    assert "(80 % power; verdicts corrected among 2 arms" in ran.out
    assert "longest 10% toy s2" in ran.out
    assert "no estimate of time for " in ran.err  # the toy model has no config.json
    one = selbench("plan", *settings)
    assert one.status == 0 and "one seed cannot show any difference" in one.out


def test_spread_is_taken_from_past_runs(selbench, settings):
    selbench("-m", *settings, "selector=random,longest", "budget=0.25", "seed=0,1,2")
    (row,) = _plan(selbench, "-m", *settings, "selector=random", "budget=0.5", "seed=0,1")["detectable"]
    assert row["source"] == "seen in 2 past arms" and row["seeds"] == 2 and row["difference"] > row["spread"] > 0


def test_markdown_for_a_proposal(selbench, settings):
    ran = selbench("plan", "-m", *settings, "selector=random,longest", "--markdown", "--cells")
    assert ran.out.startswith("2 cells: 0 done, 2 to run\n\n| stage | needed |")
    assert "| 2 | longest 10% toy s0 | to run |" in ran.out


def test_a_disk_that_is_too_small_is_told_before_it_is_full(selbench, settings, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    ran = selbench("plan", *settings)
    assert ran.status == 1 and "does not fit on the disk" in ran.err


@pytest.mark.parametrize(
    "wrong, told",
    [
        (["selector=mads,random"], "add -m"),
        (["selector=madz"], "Did you mean 'mads'"),
        (["budget=5000"], "valid 1 to 40"),
        (["-m", "output_dir=a,b"], "one output folder at a time"),
    ],
)
def test_mistakes_are_told_as_the_run_itself_tells_them(selbench, settings, wrong, told):
    ran = selbench("plan", *settings, *wrong)
    assert ran.status == 2 and told in ran.err


def test_planning_loads_none_of_the_heavy_libraries(tmp_path):
    code = (
        "import sys; from selbench.cli.main import run; "
        "status = run(['plan', '-m', 'selector=random,mads,kcenter_tfidf,sae_simscale', 'pool.size=200', "
        f"'output_dir={tmp_path}']); "
        "print(status, [name for name in ('torch', 'transformers', 'mlflow', 'datasets') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines()[-1] == "0 []", ran.stderr
