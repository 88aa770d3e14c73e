"""`selbench plan` where neither pools nor weights nor encoders are at hand: it rests on what presets state, and says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from helpers.tiny_models import make_model

from selbench.data import commits, hub

STATED = ["pool.stated.rows=1000", "pool.stated.prompt_tokens=20", "pool.stated.response_tokens=100"]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """No hub, empty caches, no local data, and 80 GB of memory unless a preset says otherwise."""
    for name, folder in (("HF_HUB_CACHE", "huggingface_hub.constants"), ("HF_DATASETS_CACHE", "datasets.config")):
        monkeypatch.setattr(f"{folder}.{name}", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setenv("SELBENCH_DATA", str(tmp_path / "data"))
    commits.forget_commits()
    yield
    commits.forget_commits()


def plan(selbench, tmp_path, *arguments: str) -> dict:
    ran = selbench("plan", *arguments, f"output_dir={tmp_path / 'outputs'}", "tracking=none", "--json")
    assert ran.status == 0, ran.err
    return {**json.loads(ran.out), "err": ran.err}


def needed(found: dict) -> set[str]:
    return {one["part"] for one in found["needed"]}


SUITES = {"suite mmlu", "suite arc_challenge", "suite hellaswag", "suite truthfulqa", "suite gsm8k", "suite ifeval"}


@pytest.mark.parametrize(
    ("name", "cells", "parts"),
    [
        pytest.param(
            "mads_paper",
            24,
            {
                "pool alpaca-gpt4",
                "scorer llama-3.2-3b-instruct",
                "selector kcenter",
                *(f"model {name}" for name in ("llama-2-7b", "llama-3.1-8b", "mistral-7b-v0.3", "llama-2-13b")),
            },
            marks=pytest.mark.slow,
        ),
        ("nait_paper", 5, {"pool alpaca-gpt4", "model llama-2-7b", "target gsm8k_train"}),
        pytest.param(
            "nait_all_features",
            5,
            {"pool alpaca-gpt4", "model llama-2-7b", "target gsm8k_train", "target mbpp_train"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "sae_paper", 18, {"pool alpaca", "model llama-2-13b", "scorer llama-3.1-8b"}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_paper_is_planned_with_nothing_at_hand_and_not_run(selbench, tmp_path, name, cells, parts):
    found = plan(selbench, tmp_path, "-m", f"experiment={name}", "seed=0")
    assert len(found["cells"]) == cells and all(cell["runs"] for cell in found["cells"])
    assert parts <= needed(found) and SUITES & needed(found)
    assert found["totals"][-1]["unknown"] == 0 and found["totals"][-1]["tokens"] > 1e7
    notes = " ".join(found["notes"])
    assert "52,002 rows" in notes and "rests on stated sizes" in notes and "rests on stated shapes" in notes
    # The presets fit the device that they state.
    assert not found["memory_warnings"] and "memory: fine-tuning" in notes
    refused = selbench("-m", f"experiment={name}", "seed=0", f"output_dir={tmp_path / 'outputs'}", "tracking=none")
    assert refused.status == 2 and "Traceback" not in refused.err and not (tmp_path / "outputs").exists()


def test_people_read_what_is_needed(selbench, tmp_path):
    grid = ["-m", "pool=alpaca_gpt4", "model=llama-2-7b", "selector=random,kcenter", f"output_dir={tmp_path / 'o'}"]
    ran = selbench("plan", *grid, "tracking=none")
    assert ran.status == 0, ran.err
    said = ran.out[ran.out.index("Needed before a run, and not on this machine:") :]
    assert "  pool alpaca-gpt4: data set vicgalle/alpaca-gpt4\n" in said
    assert "  model llama-2-7b: model meta-llama/Llama-2-7b-hf\n" in said
    assert "selector kcenter: " in said and "selector=kcenter_tfidf" in said and "127.0.0.1:9" in said
    markdown = selbench("plan", *grid, "tracking=none", "--markdown").out
    assert "- pool alpaca-gpt4: data set vicgalle/alpaca-gpt4\n" in markdown


def test_what_is_at_hand_is_measured_and_wins(selbench, tmp_path, toy_pool):
    """One model is here, the other stated; a copy of the pool is here and smaller than what is stated."""
    folder = tmp_path / "llama"
    make_model(folder)
    grid = ["-m", "selector=random", "model=llama-3.2-1b,llama-2-7b", f"model.llama-3.2-1b.path={folder}"]
    found = plan(selbench, tmp_path, *grid, "pool=alpaca_gpt4", f"pool.path={toy_pool}", "suite=[planted]")
    assert needed(found) == {"model llama-2-7b"}
    (note,) = (note for note in found["notes"] if "stated" in note)
    assert "llama-2-7b (6.74B parameters)" in note and "llama-3.2-1b" not in note
    assert "pool alpaca-gpt4: it has 40 rows, where 52,002 are stated; the plan rests on what it has." in found["err"]
    assert "hidden_size" not in found["err"], "what is stated is of another model than the one that path names"
    own = plan(selbench, tmp_path, *grid, "pool=planted", "model.llama-3.2-1b.stated.of=")
    assert "hidden_size (16, stated 2048)" in own["err"] and "rests on the config.json" in own["err"]


def test_a_plan_of_what_is_at_hand_is_the_same_whatever_is_stated(selbench, settings, tmp_path):
    keys = []
    for more in ([], ["model.stated.num_hidden_layers=3", "pool.stated.of=other/data", *STATED]):
        ran = selbench("plan", *settings, "selector=longest", *more, "--json")
        assert ran.status == 0, ran.err
        found = json.loads(ran.out)
        keys.append([found[name] for name in ("cells", "stages", "totals", "needed")])
    assert keys[0] == keys[1] and keys[0][3] == []


def test_a_pool_of_ones_own_is_refused_until_its_size_is_stated(selbench, tmp_path):
    own = ["pool=hub", "pool.hub=me/mine", "selector=random", "tracking=none", f"output_dir={tmp_path / 'o'}"]
    refused = selbench("plan", *own)
    assert refused.status == 2 and "pool.stated.rows=N" in refused.err and "Traceback" not in refused.err
    half = selbench("plan", *own, "pool.stated.rows=1000")
    assert half.status == 2 and "are stated together" in half.err
    assert "5.0k" not in half.out and plan(selbench, tmp_path, *own[:3], *STATED)["totals"][-1]["tokens"] > 0
    too_much = selbench("plan", *own, *STATED, "budget=2000")
    assert too_much.status == 2 and "valid 1 to 1000" in too_much.err
    fewer = selbench("plan", *own, *STATED, "budget=200", "pool.limit=100")
    assert fewer.status == 2 and "valid 1 to 100" in fewer.err
    in_tokens = plan(selbench, tmp_path, *own[:3], *STATED, "budget=10000", "budget_unit=tokens")
    (training,) = (stage for stage in in_tokens["stages"] if stage["stage"] == "training")
    assert training["tokens"] == pytest.approx(3 * 100 * 120)  # epochs x rows x tokens


@pytest.mark.parametrize("setting", ["pool.stated.row=5", "model.stated.hiden_size=64"])
def test_a_misspelt_figure_is_refused(selbench, tmp_path, setting):
    for verb in (["plan"], ["plan", "-m"]):
        refused = selbench(*verb, "pool=alpaca", "model=llama-2-7b", setting, f"output_dir={tmp_path / 'o'}")
        assert refused.status == 2 and setting.partition("=")[0].rpartition(".")[2] in refused.err, refused.out


def test_figures_of_a_preset_do_not_hold_for_another_data_set(selbench, tmp_path):
    refused = selbench("plan", "pool=alpaca_gpt4", "pool.hub=me/mine", f"output_dir={tmp_path / 'o'}")
    assert refused.status == 2 and "me/mine" in refused.err and "pool.stated.rows=N" in refused.err


def test_a_model_of_ones_own_without_a_shape_is_planned_without_its_time(selbench, tmp_path):
    own = ["model=local", "model.path=me/secret", "selector=random"]
    found = plan(selbench, tmp_path, *own)
    assert needed(found) == {"model secret"}
    assert "no estimate of time for 2 stages" in found["err"]
    shape = ["num_hidden_layers=2", "hidden_size=64", "num_attention_heads=4", "vocab_size=1000"]
    stated = plan(selbench, tmp_path, *own, *(f"model.stated.{entry}" for entry in shape))
    assert stated["totals"][-1]["unknown"] == 0 and "secret (" in " ".join(stated["notes"])


def test_filters_that_need_what_is_not_at_hand_are_said(selbench, tmp_path):
    found = plan(selbench, tmp_path, "pool=alpaca", "pool.drop_duplicates=near", "suite=[gsm8k]", "leaks=drop")
    notes = " ".join(found["notes"])
    assert "pool.drop_duplicates leaves out of 'alpaca' is not known" in notes
    assert "filters of leaks leave out is not known" in notes


@pytest.mark.parametrize(
    ("trainer", "gigabytes", "said"),
    [
        (["trainer=alpaca_recipe"], 80, "no micro-batch fits: take an adapter (trainer=lora) or "),
        (["trainer=lora"], 80, ""),
        (["trainer=lora", "trainer.gradient_checkpointing=false"], 80, "trainer.micro_batch_size=1"),
        (["trainer=lora"], 12, "takes 14.5 GB to be read (bfloat16), more than the 12.0 GB"),
    ],
)
def test_memory_that_does_not_fit_is_told_with_what_does(selbench, tmp_path, trainer, gigabytes, said):
    device = [f"device_memory_gb={gigabytes}", "auto_dtype=bfloat16"]
    grid = ["-m", "pool=alpaca_gpt4", "model=llama-2-7b", "selector=base,random,full", *trainer, *device]
    found = plan(selbench, tmp_path, *grid)
    warnings = " ".join(found["memory_warnings"])
    assert (said in warnings) if said else not warnings
    if "micro" in said:
        assert "(2 cells: 2-3)" in warnings and "activations" in warnings
    memory = {stage["memory"] for stage in found["stages"] if stage["stage"] == "training"}
    assert all(size > 14e9 for size in memory)


def test_this_machines_memory_counts_where_none_is_stated(selbench, tmp_path, monkeypatch):
    monkeypatch.setattr("selbench.planning.memory_sentences.device_bytes", lambda gpu: 2e9)
    monkeypatch.setattr("selbench.planning.memory_sentences.gpu_is_here", lambda: False)
    found = plan(selbench, tmp_path, "pool=alpaca_gpt4", "model=smollm2-1.7b", "selector=random", "auto_dtype=float32")
    said = " ".join(found["memory_warnings"])
    assert "the 2.0 GB of this machine" in said and "model.dtype=bfloat16 halves it" in said


def test_a_device_without_memory_is_refused(selbench, tmp_path):
    refused = selbench("plan", "device_memory_gb=0", f"output_dir={tmp_path / 'o'}")
    assert refused.status == 2 and "device_memory_gb=0 is no memory" in refused.err


def test_the_memory_of_this_machine_is_known():
    from selbench.planning.devices import main_bytes

    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < main_bytes() <= physical


def test_a_grid_says_before_it_starts_what_does_not_fit(selbench, tmp_path, toy_pool):
    make_model(tmp_path / "model")
    run = [
        "-m",
        "selector=random",
        "pool=file",
        f"pool.path={toy_pool}",
        "model=local",
        f"model.path={tmp_path / 'model'}",
    ]
    tiny = [
        "device_memory_gb=0.5",
        "trainer=trl",
        "trainer.match=steps",
        "trainer.steps=1",
        "budget=4",
        "model.max_length=48",
    ]
    ran = selbench(*run, *tiny, "suite=response_loss", f"suite.response_loss.sets.own={toy_pool}", "tracking=none",
                   f"output_dir={tmp_path / 'outputs'}")  # fmt: skip
    assert "memory: fine-tuning model (trainer trl) takes about" in ran.err
    assert ran.err.index("memory: ") < ran.err.index("sweep ")
    assert Path(tmp_path / "outputs" / "sweeps").exists()
