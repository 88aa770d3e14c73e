"""dtype=auto is settled once: by the machine that starts a run or a grid, for all cells, in keys and records."""

from __future__ import annotations

import json
import sys

import pytest
from helpers.toy_runs import toy_model, toy_pool, toy_settings

from selbench import models, placement
from selbench.api import ModelRef
from selbench.config import program, runs
from selbench.config.runs import composed
from selbench.errors import UserError


@pytest.fixture
def gpu(monkeypatch):
    """`gpu(True)`: this machine has a GPU, or not."""

    def there(is_there: bool) -> None:
        for module in (placement, runs):
            monkeypatch.setattr(module, "gpu_is_here", lambda: is_there)

    return there


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return str(tmp_path / "model")


def test_auto_is_what_the_machine_has_in_run_record_and_key(gpu, model):
    typed = ["model=local", f"model.path={model}"]
    runs = {}
    for there in (True, False):
        gpu(there)
        runs[there] = composed(typed)[0].run
    assert [runs[there].model.dtype for there in (True, False)] == ["bfloat16", "float32"]
    assert runs[False].resolved["model"]["dtype"] == "float32"
    assert models.fingerprint(runs[True].model) != models.fingerprint(runs[False].model)


def test_a_key_does_not_hold_the_word_auto(gpu, model):
    gpu(False)
    assert models.fingerprint(ModelRef("m", model)) == models.fingerprint(ModelRef("m", model, dtype="float32"))


def test_a_scorer_of_its_own_is_settled_too_and_a_named_dtype_stays(gpu, model):
    gpu(True)
    typed = ["model=local", f"model.path={model}", "model.dtype=float16", "scorer=local", f"scorer.path={model}"]
    run = composed(typed)[0].run
    assert (run.model.dtype, run.scorer.dtype) == ("float16", "bfloat16")
    assert run.resolved["scorer"]["dtype"] == "bfloat16"
    assert composed([*typed[:2], "auto_dtype=float32"])[0].run.model.dtype == "float32"


def test_an_unknown_auto_dtype_is_refused(model):
    with pytest.raises(UserError, match="bfloat16"):
        composed(["model=local", f"model.path={model}", "auto_dtype=half"])


@pytest.fixture
def elsewhere(tmp_path):
    """Settings that name a launcher which is none of those that stay on the machine."""
    folder = tmp_path / "conf" / "hydra" / "launcher"
    folder.mkdir(parents=True)
    (folder / "cluster.yaml").write_text("_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n")
    return ["hydra/launcher=cluster", "--config-dir", str(tmp_path / "conf")]


def test_the_cells_of_a_grid_have_the_keys_of_its_plan_whatever_their_machine_has(tmp_path, selbench, gpu):
    """The grid is started where there is no GPU; its cells find one."""
    settings = toy_settings(toy_model(tmp_path / "model"), toy_pool(tmp_path), tmp_path / "outputs")
    gpu(False)
    hand_over = program.hand_over

    def on_gpus(*given):
        gpu(True)
        hand_over(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(program, "hand_over", on_gpus)
        ran = selbench("-m", *settings, "selector=random,longest", "budget=4")
    assert ran.status == 0, ran.err
    (sweep,) = (tmp_path / "outputs" / "sweeps").glob("*/sweep.json")
    planned = {row["key"] for row in json.loads(sweep.read_text())["rows"]}
    records = [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]
    assert {record["key"] for record in records} == planned and len(planned) == 2
    assert {record["config"]["model"]["dtype"] for record in records} == {"float32"}


def test_the_plan_says_when_it_cannot_know(tmp_path, selbench, gpu, elsewhere):
    settings = toy_settings(toy_model(tmp_path / "model"), toy_pool(tmp_path), tmp_path / "outputs")
    grid = ["plan", "-m", *settings, "selector=random,longest", "budget=4"]
    gpu(False)
    assert "auto_dtype=bfloat16" in selbench(*grid, *elsewhere).err
    assert "auto_dtype" not in selbench(*grid).err, "its cells run here"
    assert "auto_dtype" not in selbench(*grid, *elsewhere, "auto_dtype=bfloat16").err, "it has been said"
    assert "auto_dtype" not in selbench(*grid, *elsewhere, "model.dtype=float32").err, "there is nothing to settle"
    gpu(True)
    assert "auto_dtype" not in selbench(*grid, *elsewhere).err


def test_whether_there_is_a_gpu_is_known_without_torch_and_as_torch_knows_it(monkeypatch):
    import torch

    known = torch.cuda.is_available()
    monkeypatch.delitem(sys.modules, "torch")
    assert placement.gpu_is_here.__wrapped__() == known
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not placement.gpu_is_here.__wrapped__()
