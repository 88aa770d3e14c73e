"""One sweep gives one leaderboard, whatever launcher carries out its cells; what a launcher needs is said before."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.launchers import run_command, with_launchers
from helpers.toy_sweeps import board, toy_sweep

GRID = ["selector=random,first_ones,shortest", "seed=0,1", "budget=4,8"]


@pytest.fixture(scope="module")
def sweep(site, toy_model, toy_pool, tmp_path_factory):
    """`sweep(launcher)` is the folder of outputs of a sweep with plugins of a folder and of a package."""
    plugins = tmp_path_factory.mktemp("plugins")

    def run(launcher: str, *more: str) -> Path:
        outputs = tmp_path_factory.mktemp(launcher) / "outputs"
        command = toy_sweep(toy_model, toy_pool, plugins, outputs, GRID)
        ended = run_command(*command, f"hydra/launcher={launcher}", *more, site=site)
        assert ended.returncode == 0, ended.stderr
        return outputs

    return run


@pytest.fixture(scope="module")
def expected(sweep) -> list[dict[str, str]]:
    rows = board(sweep("basic"))
    assert len(rows) == 6, "three arms, two budgets"
    return rows


@pytest.mark.parametrize(
    "launcher", with_launchers("processes", "submitit_local", "ray_cluster", slow=("submitit_local", "ray_cluster"))
)
def test_the_board_is_the_same_digit_for_digit(sweep, expected, launcher):
    outputs = sweep(launcher)
    assert board(outputs) == expected
    (about,) = (outputs / "sweeps").glob("*/sweep.json")
    assert json.loads(about.read_text())["launcher"]["name"] == launcher
    leftover = [path.name for path in outputs.iterdir()]
    assert set(leftover) <= {"runs", "store", "sweeps", "reports", ".submitit"}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("launcher", with_launchers("processes", "submitit_local", "ray_cluster"))
def test_models_that_are_trained_give_the_same_board(tmp_path, launcher):
    grid = [
        "selector=random,longest",
        "seed=0,1",
        "budget=40",
        "pool.size=400",
        "suite.planted.limit=5",
        "tracking=none",
    ]
    boards = []
    for name in ("basic", launcher):
        ended = run_command("-m", *grid, f"hydra/launcher={name}", f"output_dir={tmp_path / name}")
        assert ended.returncode == 0, ended.stderr
        (path,) = (tmp_path / name / "reports").glob("*.csv")
        rows = csv.DictReader(path.read_text().splitlines())
        boards.append([{key: value for key, value in row.items() if not key.endswith("_s")} for row in rows])
    assert boards[0] == boards[1] and len(boards[0]) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["hydra/launcher=proceses"], "Did you mean 'processes'?"),
        pytest.param(
            ["hydra/launcher=processes", "hydra.launcher.n_job=2"],
            "Did you mean 'hydra.launcher.n_jobs'?",
            marks=with_launchers("processes")[0].marks,
        ),
        pytest.param(
            ["hydra/launcher=processes", "hydra.launcher.n_jobs=0"],
            "at least one process is needed",
            marks=with_launchers("processes")[0].marks,
        ),
        pytest.param(
            ["hydra/launcher=basic,processes"],
            "all cells of a grid have one hydra/launcher",
            marks=with_launchers("processes")[0].marks,
        ),
        pytest.param(["hydra/launcher=slurm"], "there is no srun", marks=with_launchers("submitit_local")[0].marks),
    ],
)
def test_a_launcher_that_cannot_work_is_refused_before_any_cell(
    selbench, settings, tmp_path, monkeypatch, options, said
):
    monkeypatch.setenv("PATH", "/nowhere")
    refused = selbench("-m", *settings, "selector=random", "seed=0,1", *options)
    assert refused.status == 2 and said in refused.err.replace("\n", " ")
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(("launcher", "extra"), [("processes", "joblib"), ("ray_cluster", "ray"), ("slurm", "slurm")])
@pytest.mark.parametrize("verb", [[], ["plan"]], ids=["run", "plan"])
def test_a_launcher_that_is_not_installed_names_its_extra(settings, tmp_path, launcher, extra, verb):
    (tmp_path / "hide.py").write_text(
        "import sys, types\n"
        "sys.modules['hydra_plugins'] = none = types.ModuleType('hydra_plugins')\n"
        "none.__path__ = []\n"
        "from selbench.cli.main import main\n"
        "main()\n"
    )
    grid = ["-m", *settings, "selector=random", "seed=0,1", f"hydra/launcher={launcher}"]
    ended = subprocess.run([sys.executable, str(tmp_path / "hide.py"), *verb, *grid], capture_output=True, text=True)
    assert ended.returncode == 2 and f"pip install 'selbench[{extra}]'" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
