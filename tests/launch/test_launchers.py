"""One sweep gives one leaderboard, whatever launcher carries out its cells; what a launcher needs is said before."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.launchers import run_command, with_launchers
from helpers.toy_runs import TOYS, toy_settings

SAMPLE = Path(__file__).parents[1] / "sample_plugin"
FIRST = """
from helper_beside import in_order
from selbench.api import Selection, selector

@selector("first_ones")
class FirstOnes:
    '''The first examples, found by a helper beside this file.'''
    def select(self, pool, budget, context):
        return in_order(pool, budget)
"""
HELPER = """
from selbench.api import Selection
def in_order(pool, budget):
    return Selection.ordered(range(len(pool)), budget)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed a stranger's package with an entry point."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["cp", "-r", str(SAMPLE), str(folder / "sample")], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "sample")], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(scope="module")
def sweep(site, toy_model, toy_pool, tmp_path_factory):
    """`sweep(launcher)` is the folder of outputs of a sweep with plugins of a folder and of a package."""
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "first.py").write_text(FIRST)
    (plugins / "helper_beside.py").write_text(HELPER)

    def run(launcher: str, *more: str) -> Path:
        outputs = tmp_path_factory.mktemp(launcher) / "outputs"
        settings = [text for text in toy_settings(toy_model, toy_pool, outputs) if not text.startswith("plugin_path")]
        grid = ["selector=random,first_ones,shortest", "seed=0,1", "budget=4,8", f"hydra/launcher={launcher}"]
        ended = run_command("-m", f"plugin_path=[{TOYS},{plugins}]", *settings, *grid, *more, site=site)
        assert ended.returncode == 0, ended.stderr
        return outputs

    return run


def board(outputs: Path) -> list[dict[str, str]]:
    """The leaderboard as it is kept, all digits, without the seconds that things took."""
    (path,) = (outputs / "reports").glob("*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 6, "three arms, two budgets"
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


@pytest.fixture(scope="module")
def expected(sweep) -> list[dict[str, str]]:
    return board(sweep("basic"))


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
