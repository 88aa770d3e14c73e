"""Finding plugins: the same door for us and for strangers, and what happens when one is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

from selbench.declare import option_help
from selbench.errors import PluginError, UserError
from selbench.plugins import discover, plugin_path

SAMPLE = Path(__file__).parents[1] / "sample_plugin"
GOOD = '''
from selbench.api import Selection, selector

@selector("mine")
class Mine:
    """First come, first served."""
    def select(self, pool, budget, context):
        return Selection.ordered(range(len(pool)), budget)
'''


def test_ours_come_through_the_entry_point():
    registry = discover()
    assert {"base", "full", "random", "longest", "kcenter", "mads"} <= {p.name for p in registry.of_kind("selector")}
    assert {"trl"} <= {p.name for p in registry.of_kind("trainer")}
    assert {"lm_eval", "response_loss"} <= {p.name for p in registry.of_kind("suite")}
    assert not registry.broken and not registry.conflicts
    assert all(plugin.help for plugin in registry.plugins.values())


@pytest.mark.parametrize(
    "command",
    [
        ["plugins"],
        ["--help"],
        ["select", "--help"],
        ["demo", "--help"],
        ["inspect", "--help"],
        ["check", "--help"],
        ["leaderboard", "--help"],
    ],
)
def test_listing_and_help_load_nothing_heavy(command):
    code = (
        "import sys; from selbench.cli.main import run\n"
        f"try: run({command!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'trl', 'datasets', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout or "selector" in done.stdout


def test_a_folder_of_files_is_a_door_too(selbench, settings, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    assert discover([str(tmp_path)]).get("selector", "mine").help == "First come, first served."
    both = [f"plugin_path=[{tmp_path},{TOYS}]", *settings[1:]]
    assert selbench(*both, "selector=mine").status == 0
    assert records(tmp_path / "outputs")[0]["axes"]["selector"] == "mine"


def test_a_broken_module_spoils_nothing_else_and_shows_its_error(selbench, settings, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "wrong.py").write_text("import nothing_of_that_name\n")
    listed = selbench("plugins", f"plugin_path={tmp_path}")
    assert listed.status == 0 and "mine" in listed.out
    assert "wrong" in listed.out and "nothing_of_that_name" in listed.out
    ran = selbench(f"plugin_path={tmp_path}", "selector=wrong")
    assert ran.status == 2 and "nothing_of_that_name" in ran.err and "Traceback" not in ran.err


def test_a_name_declared_twice_names_both_files(selbench, tmp_path):
    (tmp_path / "one.py").write_text(GOOD)
    (tmp_path / "two.py").write_text(GOOD)
    ran = selbench(f"plugin_path={tmp_path}", "selector=mine")
    assert ran.status == 2 and "declared twice" in ran.err
    assert "one.py" in ran.err and "two.py" in ran.err
    assert selbench("plugins", f"plugin_path={tmp_path}").status == 1
    with pytest.raises(PluginError, match="declared twice"):
        discover([str(tmp_path)]).require_sound()


@pytest.mark.parametrize(
    "kind, method", [("selector", "select"), ("trainer", "train"), ("suite", "evaluate"), ("pool", "load")]
)
def test_a_class_without_its_method_is_broken(tmp_path, kind, method):
    (tmp_path / "idle.py").write_text(f"from selbench.api import {kind}\n@{kind}('idle')\nclass Idle: pass\n")
    (broken,) = discover([str(tmp_path)]).broken
    assert f"has no method {method}()" in broken.error


POOL = '''
from selbench.api import Example, LoadedPool, Pool, pool

@pool("tables")
class Tables:
    """Multiplication tables."""
    name: str = "tables"
    size: int = 12
    def load(self) -> LoadedPool:
        rows = [Example(f"{i:04d}", f"{i} times {i}?", "x" * (i + 1)) for i in range(self.size)]
        return LoadedPool(Pool(rows, self.name))
'''


def test_a_pool_is_a_plugin_that_runs(selbench, settings, tmp_path):
    (tmp_path / "tables.py").write_text(POOL)
    listed = selbench("plugins", f"plugin_path={tmp_path}")
    assert listed.status == 0 and "pools" in listed.out and "Multiplication tables." in listed.out
    rest = [setting for setting in settings if not setting.startswith(("plugin_path=", "pool"))]
    ran = selbench(f"plugin_path=[{tmp_path},{TOYS}]", *rest, "pool=tables", "pool.size=20", "budget=3")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path / "outputs")
    assert record["axes"]["pool"] == "tables"
    refused = selbench(f"plugin_path=[{tmp_path},{TOYS}]", *rest, "pool=tables", "pool.sise=20")
    assert refused.status == 2 and "Did you mean 'pool.size'?" in refused.err


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(UserError, match="Did you mean 'kcenter'"):
        discover().get("selector", "kcentre")


def test_one_plugin_described(selbench):
    ran = selbench("plugins", "random")
    assert ran.status == 0 and "balanced" in ran.out


def test_every_option_of_ours_has_help():
    silent = [
        f"{plugin.kind} {plugin.name}.{option}"
        for plugin in discover().plugins.values()
        for option, text in option_help(plugin.cls).items()
        if not text
    ]
    assert silent == []


def test_inherited_options_show_their_choices_and_their_help(selbench):
    ran = selbench("plugins", "sae_simscale")
    assert "per_token | absolute | quantile" in ran.out and "tokens that count" in ran.out
    assert "Options:" not in ran.out
    refused = selbench("selector=sae_simscale", "selector.threshold=per_tokn", "pool.size=20")
    assert refused.status == 2 and "Did you mean 'per_token'?" in refused.err


@pytest.mark.slow
def test_a_strangers_package_is_installed_selected_and_checked(settings, tmp_path):
    """Really installed: pip builds the package under tests/sample_plugin, and a new process finds it by its entry point."""
    site = tmp_path / "site"
    copy = tmp_path / "sample"
    subprocess.run(["cp", "-r", str(SAMPLE), str(copy)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
        str(copy),
    ]
    subprocess.run(pip, check=True, capture_output=True)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        code = "from selbench.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    assert "shortest" in command("plugins").stdout
    done = command(*settings, "selector=shortest", "budget=3")
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path / "outputs")
    ids = json.loads((tmp_path / "outputs" / "runs" / record["key"] / "selection.json").read_text())["ids"]
    assert ids == ["0000", "0001", "0002"]
    rest = [setting for setting in settings if not setting.startswith("pool")]
    listed = command("--help").stdout
    assert "tiny_world" in listed and "tiny_grid" in listed
    unknown = command(*rest, "pool=tiny_wrld")
    assert unknown.returncode == 2 and "Did you mean 'tiny_world'?" in unknown.stderr
    planned = command("plan", "-m", *rest, "experiment=tiny_grid", "--json")
    assert planned.returncode == 0 and len(json.loads(planned.stdout)["cells"]) == 4, planned.stderr
    swept = command("-m", *rest, "experiment=tiny_grid", "budget=3")
    assert swept.returncode == 0, swept.stderr
    made = [record for record in records(tmp_path / "outputs") if record["comparison"] == "tiny_grid"]
    assert {record["axes"]["pool"] for record in made} == {"tiny-world"} and len(made) == 4
    mine = _folder_of_presets(tmp_path / "mine", "tiny_world")
    twice = command("plan", *rest, "--config-dir", str(mine))
    assert twice.returncode == 2 and "pool=tiny_world is there twice" in twice.stderr and str(mine) in twice.stderr
    (site / "selbench_sample" / "conf" / "__init__.py").write_text("import nothing_of_that_name")
    spoilt = command("plan", *settings)
    assert spoilt.returncode == 0 and "nothing_of_that_name" in spoilt.stderr
    refused = command(*settings, "selector=shortest", "selector.by_wrds=true")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "Did you mean 'selector.by_words'?" in refused.stderr


def _folder_of_presets(folder: Path, name: str) -> Path:
    (folder / "pool").mkdir(parents=True)
    (folder / "pool" / f"{name}.yaml").write_text(f"defaults: [planted, _self_]\nname: {name}\nsize: 30\n")
    (folder / "selector").mkdir()
    (folder / "selector" / "halves.yaml").write_text("defaults: [random, _self_]\nbalanced: source\n")
    return folder


def test_a_folder_of_presets_serves_every_verb_that_composes(selbench, settings, tmp_path):
    rest = [setting for setting in settings if not setting.startswith("pool")]
    folder = ["--config-dir", str(_folder_of_presets(tmp_path / "mine", "small"))]
    chosen = [*rest, "pool=small", "selector=halves", "budget=3"]
    assert selbench(*folder, *chosen).status == 0
    assert selbench("-m", *folder, *chosen, "seed=0,1").status == 0
    assert selbench("plan", "-m", *chosen, "seed=0,1,2", *folder).status == 0
    assert selbench("select", *chosen, *folder, "--out", str(tmp_path / "out.jsonl")).status == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    assert selbench("inspect", *folder, *chosen, "--out", str(tmp_path / "pictures")).status == 0
    assert selbench("--cfg", "job", *folder, *chosen).status == 0
    checked = selbench("check", "halves", *folder)
    assert checked.status == 0 and "halves: " in checked.out
    assert {record["axes"]["pool"] for record in records(tmp_path / "outputs")} == {"small"}
    for verb in ([], ["plan"], ["select"], ["inspect"]):
        refused = selbench(*verb, *folder, *rest, "pool=smal")
        assert refused.status == 2 and "Did you mean 'small'?" in refused.err
        absent = selbench(*verb, "--config-dir", str(tmp_path / "none"), *rest)
        assert absent.status == 2 and f"the folder {tmp_path / 'none'} does not exist" in absent.err


def test_a_preset_of_our_name_in_a_folder_is_refused(selbench, settings, tmp_path):
    refused = selbench(*settings, "--config-dir", str(_folder_of_presets(tmp_path / "mine", "dolly")))
    assert refused.status == 2 and "the preset pool=dolly is there twice" in refused.err


def test_a_pool_of_ones_own_is_a_target_too_and_in_the_record(selbench, settings, tmp_path):
    (tmp_path / "tables.py").write_text(POOL)
    rest = [setting for setting in settings if not setting.startswith(("plugin_path=", "pool"))]
    chosen = [f"plugin_path=[{tmp_path},{TOYS}]", *rest, "pool=tables", "pool.size=20", "budget=3"]
    ran = selbench(*chosen, "target=tables", "target.tables.size=5")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path / "outputs")
    assert record["config"]["target"]["tables"]["size"] == 5
    assert record["config"]["plugins"]["pool"] == "tables" and record["config"]["plugins"]["target"] == {
        "tables": "tables"
    }
    again = selbench("rerun", record["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0 and "identical: 3 ids" in again.out, again.err
    refused = selbench(*chosen, "target=tables", "target.tables.sise=5")
    assert refused.status == 2 and "Did you mean 'target.tables.size'?" in refused.err


@pytest.mark.parametrize(
    ("typed", "folders"),
    [
        ("mine", ["mine"]),
        ("[a, b]", ["a", "b"]),
        ("[ 'a' , \"b\"]", ["a", "b"]),
        ("'with a blank'", ["with a blank"]),
        (r"with\ a\ blank", ["with a blank"]),
        (r"[with\ a\ blank,'b, c']", ["with a blank", "b, c"]),
        ("null", []),
    ],
)
def test_the_folders_are_read_as_hydra_writes_them(typed, folders):
    assert plugin_path([f"plugin_path={typed}", "seed=0"]) == folders
