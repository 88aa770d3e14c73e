"""`selector=given`: ids from a file, trained on here, or with the model that was trained on them elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import toy_runs

from selbench.testing.subject import default_scorer

ODD = Path(__file__).parents[1] / "helpers" / "odd_tool.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole model in `tuned model`, an adapter in `adapter/lora`, and a copy of the base in `copy`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "none.jsonl").write_text("")
    for mode, name in (("reports", "tuned model"), ("adapter", "adapter"), ("copies", "copy")):
        (folder / name).mkdir()
        given = {"data": folder / "none.jsonl", "model": default_scorer().path, "output": folder / name, "seed": 1}
        words = [f"--{key}={value}" for key, value in {**given, "note": folder / "note"}.items()]
        subprocess.run([sys.executable, str(ODD), mode, *words], check=True, capture_output=True)
    return folder


@pytest.fixture
def toys(tmp_path: Path, toy_pool: Path) -> list[str]:
    pool = ["pool=file", f"pool.path={toy_pool}", f"output_dir={tmp_path / 'outputs'}"]
    plugins = f"plugin_path={toy_runs.TOYS}"
    return [plugins, *pool, "model=planted-1m", "trainer=toy_trainer", "suite=[toy_suite]", "tracking=none", "budget=4"]


def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]


def given(path: Path, **options: Any) -> list[str]:
    return [
        "selector=given",
        f"selector.given.ids='{path}'",
        *(f"selector.given.{k}='{v}'" for k, v in options.items()),
    ]


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "my core.txt"
    path.write_text("0007\n0003\n0011\n0005\n")
    return path


def test_given_ids_are_trained_on_like_any_selection(selbench, toys, ids, tmp_path):
    files = {
        "core.json": '["0007", "0003", "0011", "0005"]',
        "selection.json": '{"ids": ["0007", "0003", "0011", "0005"], "scores": null}',
        "core.jsonl": "".join(f'{{"id": "{id}", "more": 1}}\n' for id in ids.read_text().split()),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert selbench(*given(ids), *toys).status == 0
    for name in files:  # one selection, and so one run
        ran = selbench(*given(tmp_path / name, called="given my core"), *toys)
        assert ran.status == 0 and "already" in ran.err + ran.out, ran.err
    (record,) = records(tmp_path)
    assert (record["axes"]["selector"], record["axes"]["trainer"]) == ("given my core", "toy_trainer")
    kept = next((tmp_path / "outputs" / "runs").glob("*/selection.json"))
    assert json.loads(kept.read_text())["ids"] == ["0007", "0003", "0011", "0005"]
    assert selbench(*given(ids), *toys, "budget=2").status == 0  # a smaller budget takes the first ones
    assert sorted(record["selection"]["examples"] for record in records(tmp_path)) == [2, 4]


@pytest.mark.parametrize("option", ["tuned", "adapter"])
def test_a_model_trained_elsewhere_stands_beside_arms_trained_here(selbench, toys, ids, models, tmp_path, option):
    folder = models / ("tuned model" if option == "tuned" else "adapter/lora")
    ran = selbench("-m", "selector=base,random", "seed=3,4", *toys)
    assert ran.status == 0, ran.err
    own = [*given(ids, **{option: folder}), "seed=3,4", *toys]
    planned = selbench("plan", "-m", *own)
    assert planned.status == 0 and "training" not in planned.out and "fine-tuning" not in planned.out, planned.out
    ran = selbench("-m", *own)
    assert ran.status == 0 and "not fine-tuning: the model was trained elsewhere" in ran.err, ran.err
    (record,) = (record for record in records(tmp_path) if "elsewhere" in record["axes"]["selector"])
    assert record["axes"]["selector"] == "given my core, trained elsewhere"
    assert (record["axes"]["trainer"], record["axes"]["seed"], record["axes"]["budget"]) == (None, None, 4)
    assert record["selection"]["examples"] == 4 and "training" not in record["stages"]
    board = selbench("leaderboard", "--outputs", str(tmp_path / "outputs"))
    line = next(line for line in board.out.splitlines() if "given my core, trained elsewhere" in line)
    assert "trainer toy_trainer" in board.out and line.split()[0] != "–"  # ranked, in the table of those trained here
    compared = selbench("compare", record["axes"]["selector"], "random", "--outputs", str(tmp_path / "outputs"))
    assert compared.status == 0 and "paired over seeds 3\n" in compared.out, compared.out + compared.err


def test_its_seed_noise_is_that_of_one_seed(selbench, toys, ids, models, tmp_path):
    from selbench.report.tidy import NO_SEED, runs_table
    from selbench.store.outputs import Outputs

    outputs = Outputs(tmp_path / "outputs")
    assert selbench(*given(ids, tuned=models / "tuned model"), *toys).status == 0
    assert runs_table(outputs.records.all())["seed"].tolist() == [0]  # without any other arm
    assert selbench("-m", "selector=base,random", "seed=3,4", *toys).status == 0
    table = runs_table(outputs.records.all())
    seeds = {arm: sorted(rows["seed"]) for arm, rows in table.groupby("selector")}
    assert seeds == {"base": [NO_SEED], "random": [3, 4], "given my core, trained elsewhere": [3]}
    known = table.set_index("selector")["trained"]
    assert known["base"] == 0 and known.isna()["given my core, trained elsewhere"]


def test_another_model_is_another_run(selbench, toys, ids, models, tmp_path):
    shutil.copytree(models / "tuned model", tmp_path / "moved")
    for folder in (models / "tuned model", tmp_path / "moved"):
        assert selbench(*given(ids, tuned=folder, called="mine"), *toys).status == 0
    assert len(records(tmp_path)) == 1
    (tmp_path / "moved" / "generation_config.json").write_text("{}")
    assert selbench(*given(ids, tuned=tmp_path / "moved", called="mine"), *toys).status == 0
    assert len(records(tmp_path)) == 2


@pytest.mark.parametrize("verb", [[], ["plan"]], ids=str)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text + "0007\n", "names the id '0007' more than once"),
        (lambda text: text.replace("0011", "x11"), "1 of its 4 ids are not in the pool, among them 'x11'"),
        (lambda text: text + "0001\n", "names 5 examples, and the budget is 4: the model was trained on all of them"),
        (lambda text: text[:-5], "names 3 examples, and the budget is 4"),
    ],
    ids=["empty", "twice", "foreign", "more", "fewer"],
)
def test_wrong_ids_are_refused_before_any_cell(selbench, toys, ids, models, tmp_path, verb, change, message):
    ids.write_text(change(ids.read_text()))
    ran = selbench(*verb, *given(ids, tuned=models / "tuned model"), *toys)
    assert ran.status == 2 and message in ran.err, ran.err
    assert "Traceback" not in ran.err and not records(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuned": "{models}/nowhere"}, "does not exist"),
        ({"tuned": "{models}/adapter/lora"}, "no config.json"),
        ({"tuned": "{models}/adapter"}, "no config.json"),
        ({"adapter": "{models}/copy"}, "not the folder of an adapter"),
        ({"adapter": "{models}/nowhere"}, "not the folder of an adapter"),
        ({"tuned": "{models}/copy"}, "is 'planted-1m' itself"),
        ({"tuned": "{models}/copy", "adapter": "{models}/adapter/lora"}, "name one of them"),
        ({"revision": "main"}, "revision"),
    ],
    ids=str,
)
def test_what_is_no_model_is_refused_before_any_cell(selbench, toys, ids, models, tmp_path, options, message):
    typed = {name: text.replace("{models}", str(models)) for name, text in options.items()}
    ran = selbench(*given(ids, **typed), *toys)
    assert ran.status == 2 and message in ran.err, ran.err
    assert "Traceback" not in ran.err and not records(tmp_path)


def test_without_a_file_of_ids(selbench, toys, tmp_path):
    assert "has no file of ids" in selbench("selector=given", *toys).err
    assert "cannot be read" in selbench(*given(tmp_path / "none.txt"), *toys).err
    (tmp_path / "odd.json").write_text('{"a": 1}')
    assert "holds no ids" in selbench(*given(tmp_path / "odd.json"), *toys).err
