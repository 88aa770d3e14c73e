"""A sweep under a launcher goes out in two waves, and no cell waits for a stage that another one computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.inline_launcher import InlineLauncher, inline
from helpers.launchers import run_command, with_launchers
from helpers.recorded import records
from helpers.toy_runs import toy_pool


def executed(outputs: Path) -> list[tuple[str, str]]:
    lines = (outputs / "store" / "executed.jsonl").read_text().splitlines()
    return [(stage["kind"], stage["key"]) for stage in map(json.loads, lines)]


def sweep_of(outputs: Path) -> Path:
    return max((outputs / "sweeps").iterdir(), key=lambda folder: folder.stat().st_mtime)


def stages_of(outputs: Path) -> list[dict]:
    return json.loads((sweep_of(outputs) / "stages.json").read_text())


@pytest.mark.parametrize("launcher", with_launchers("processes", "ray_cluster", slow=("ray_cluster",)))
def test_no_cell_waits_and_no_stage_is_computed_twice(settings, tmp_path, launcher):
    more = (
        ["hydra.launcher.n_jobs=2", "jobs.stages.n_jobs=2"]
        if launcher == "processes"
        else ["jobs.stages.ray.remote.num_cpus=1"]
    )
    grid = ["-m", *settings, "selector=random,longest", "seed=0,1", "budget=4,8", f"hydra/launcher={launcher}", *more]
    ran = run_command(*grid)
    assert ran.returncode == 0, ran.stderr
    assert "waiting for" not in ran.stderr, ran.stderr
    outputs = tmp_path / "outputs"
    found = executed(outputs)
    assert len(set(found)) == len(found)
    kinds = [stage["kind"] for stage in stages_of(outputs)]
    assert kinds == ["tokens", "lengths", "leaks", "features", "selection", "selection", "selection"]
    ended = [json.loads(path.read_text()) for path in (sweep_of(outputs) / "stages").glob("*.json")]
    assert [stage["status"] for stage in ended] == ["finished"] * 7
    again = run_command(*grid)
    assert again.returncode == 0 and "cells share" not in again.stderr and executed(outputs) == found, again.stderr
    plain = [text for text in grid if "launcher" not in text and "jobs." not in text]
    here = run_command(*plain, f"output_dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stderr
    configs = [
        {row["key"]: {**row["config"], "output_dir": "", "sweep": ""} for row in records(place)}
        for place in (outputs, tmp_path / "here")
    ]
    assert configs[0].keys() == configs[1].keys()
    for key, config in configs[0].items():
        differ = {name for name in config if config[name] != configs[1][key][name]}
        assert differ == {"jobs"}, differ


def test_cells_that_share_nothing_have_no_first_wave(selbench, settings, tmp_path):
    (tmp_path / "other").mkdir()
    rows = (toy_pool(tmp_path / "other")).read_text().replace("Say", "Tell")
    (tmp_path / "other" / "pool.jsonl").write_text(rows)
    (path,) = [text for text in settings if text.startswith("pool.path=")]
    rest = [text for text in settings if text != path]
    ran = selbench("-m", *inline(tmp_path), *rest, f"{path},{tmp_path / 'other' / 'pool.jsonl'}", "selector=random")
    assert ran.status == 0, ran.err
    assert "cells share" not in ran.err and InlineLauncher.launched == [(1, 2)]


@pytest.mark.parametrize("grid", [["seed=3"], ["selector=full", "budget=4,8"]], ids=["one cell", "one run twice"])
def test_one_run_has_no_first_wave(selbench, settings, tmp_path, grid):
    ran = selbench("-m", *inline(tmp_path), *settings, *grid)
    assert ran.status == 0, ran.err
    assert "cells share" not in ran.err and len(InlineLauncher.launched) == 1


def test_each_wave_has_options_of_its_own(selbench, settings, tmp_path):
    grid = ["-m", *inline(tmp_path), *settings, "selector=longest", "budget=4,8"]
    ran = selbench(*grid, "jobs.stages.minutes=5", "jobs.cells.minutes=7", "hydra.launcher.minutes=2")
    assert ran.status == 0, ran.err
    assert InlineLauncher.launched == [(5, 5), (7, 2)]
    everything_is_there = selbench(*grid, "hydra.launcher.minutes=2")
    assert everything_is_there.status == 0 and InlineLauncher.launched[2:] == [(2, 2)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["jobs.stages.minute=5"], "jobs.stages: "),
        (["jobs.cells.hours=5"], "jobs.cells: "),
        (["jobs.stages.minutes=1,2"], "jobs differs between cells"),
    ],
)
@pytest.mark.parametrize("verb", [[], ["plan"]], ids=["run", "plan"])
def test_options_that_the_launcher_does_not_have_are_refused(selbench, settings, tmp_path, options, said, verb):
    refused = selbench(*verb, "-m", *inline(tmp_path), *settings, "seed=0,1", *options)
    assert refused.status == 2 and said in refused.err.replace("\n", " "), refused.err
    assert not (tmp_path / "outputs" / "sweeps").exists()


@pytest.mark.parametrize("fail_fast", ["false", "true"])
def test_a_stage_that_fails_ends_no_sweep_and_its_cells_say_why(selbench, settings, tmp_path, fail_fast):
    grid = ["selector=crashing,shy,random", "seed=0,1", "budget=4", f"fail_fast={fail_fast}"]
    ran = selbench("-m", *inline(tmp_path), *settings, *grid)
    assert ran.status == 1 and "Traceback" not in ran.err
    found = {(record["axes"]["selector"], record["axes"]["seed"]): record for record in records(tmp_path / "outputs")}
    assert found["crashing", 0]["reason"].startswith("ZeroDivisionError")
    assert "selection of crashing" in ran.err and "not computed, ZeroDivisionError" in ran.err
    if fail_fast == "true":
        assert len(found) == 1 and "1 failed, 5 not started" in ran.err
    else:
        assert {record["status"] for record in found.values()} == {"finished", "failed", "skipped"} and len(found) == 6


def test_the_selection_that_another_selector_asks_for_is_a_shared_stage(selbench, settings, tmp_path):
    grid = ["selector=longest,random", "selector.random.match=length", "selector.random.like=longest", "budget=8"]
    ran = selbench("-m", *inline(tmp_path), *settings, *grid)
    assert ran.status == 0, ran.err
    (selection,) = [stage for stage in stages_of(tmp_path / "outputs") if stage["kind"] == "selection"]
    assert len(selection["cells"]) == 2 and "longest" in selection["label"]


def test_a_budget_in_tokens(selbench, settings, tmp_path):
    grid = ["selector=longest,random", "budget=100,200", "budget_unit=tokens"]
    ran = selbench("-m", *inline(tmp_path), *settings, *grid)
    assert ran.status == 0, ran.err
    assert [stage["kind"] for stage in stages_of(tmp_path / "outputs")].count("selection") == 2
    found = executed(tmp_path / "outputs")
    assert len(set(found)) == len(found) and "waiting for" not in ran.err


def test_the_plan_shows_the_waves(selbench, tmp_path):
    grid = ["-m", "pool.size=200", f"output_dir={tmp_path}", "selector=random,longest", "budget=4,8", "seed=0,1"]
    assert "waves" not in selbench("plan", *grid).out
    shown = selbench("plan", *grid, "--workers", "4").out
    assert "waves on 4 workers: 7 shared stages in " in shown and ", then 8 cells in " in shown
    times = {}
    for workers in ("1", "4"):
        times[workers] = json.loads(selbench("plan", *grid, "--workers", workers, "--json").out)["waves"]
    assert times["1"]["cells_s"] > times["4"]["cells_s"] >= times["1"]["cells_s"] / 4
    whole = json.loads(selbench("plan", *grid, "--json").out)
    assert whole["waves"] is None
    assert times["1"]["stages_s"] + times["1"]["cells_s"] == pytest.approx(whole["totals"][-1]["seconds"])
    launched = selbench("plan", *inline(tmp_path), *grid).out
    assert "waves on 1 worker: 7 shared stages" in launched
    with pytest.raises(SystemExit):
        selbench("plan", *grid, "--workers", "0")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("launcher", with_launchers("processes"))
def test_a_job_that_dies_ends_the_command_in_order(settings, tmp_path, launcher):
    """Without isolation a worker of joblib's dies with its cell, and joblib gives up."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "fatal.py").write_text(
        "import os, signal\n"
        "from selbench.api import selector\n"
        "@selector('fatal')\n"
        "class Fatal:\n"
        "    def select(self, pool, budget, context):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (toys,) = [text.partition("=")[2] for text in settings if text.startswith("plugin_path")]
    rest = [text for text in settings if not text.startswith("plugin_path")]
    plugins = f"plugin_path=[{toys},{tmp_path / 'plugins'}]"
    ran = run_command("-m", plugins, *rest, "selector=fatal,random", f"hydra/launcher={launcher}", "isolate=false")
    assert ran.returncode == 1 and "a job of the launcher 'processes' has failed: TerminatedWorkerError" in ran.stderr
    assert "not started" in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
