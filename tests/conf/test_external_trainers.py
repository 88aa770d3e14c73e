"""The presets of external fine-tuners: complete, and of keys that the tool knows where it is installed.

Nothing of the tools is imported or run: the names of their options are read from their sources.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from selbench_plugins.trainers.command import Command

from selbench.api import Context, Example
from selbench.testing.subject import default_scorer

CONF = Path(__file__).resolve().parents[2] / "conf" / "trainer"


def preset(name: str) -> dict[str, Any]:
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(options, dict) and options.pop("defaults") == ["command", "_self_"]
    return {str(key): value for key, value in options.items()}


def annotated_names(folder: Path, *classes: str) -> set[str]:
    """The fields of classes with annotations in the modules of a folder; of all classes where none is named."""
    found = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    return {
        line.target.id
        for node in found
        if isinstance(node, ast.ClassDef) and (not classes or node.name in classes)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def bases_of(path: Path, name: str) -> list[str]:
    (found,) = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef) and n.name == name)
    return [base.id for base in found.bases if isinstance(base, ast.Name)]


def package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{name} is not installed: the keys of its config cannot be compared with its own")
    return Path(found.submodule_search_locations[0])


def test_llama_factory_knows_every_key() -> None:
    from transformers import Seq2SeqTrainingArguments

    folder, options = package("llamafactory"), preset("llama_factory")
    # LLaMA-Factory 0.9.5 wants transformers up to 5.6, which has warmup_ratio; later ones have a warmup_steps below 1.
    known = annotated_names(folder / "hparams") | {item.name for item in fields(Seq2SeqTrainingArguments)}
    known |= {"warmup_ratio"}
    assert set(options["config"]) - known == set()
    about = options["files"]["dataset_info.json"]["selection"]
    columns = annotated_names(folder / "data", "DatasetAttr")
    assert {*about["columns"], *about["tags"]} - columns == set()


def test_axolotl_knows_every_key() -> None:
    folder = package("axolotl") / "utils" / "schemas"
    options = preset("axolotl")
    known = annotated_names(
        folder, "AxolotlInputConfig", "LoftQConfig", *bases_of(folder / "config.py", "AxolotlInputConfig")
    )
    assert set(options["config"]) - known == set()
    assert set(options["config"]["datasets"][0]) - annotated_names(folder, "SFTDataset") == set()


@pytest.mark.parametrize("name", ["llama_factory", "axolotl", "torchrun"])
def test_a_preset_writes_what_its_tool_reads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in of the tool's name is run, which keeps what it was given and copies the model where the preset says."""
    options = preset(name)
    stand_in = tmp_path / "bin" / options["command"][0]
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = version ] || [ "$1" = --version ] && echo 1.2.3 && exit\n'
        f'echo "$@" > {tmp_path}/words\n'
        f'for word in "$@"; do [ -f "$word" ] && cp "$word" {tmp_path}/config && cp -r "$(dirname "$word")" {tmp_path}/all\n'
        'case "$word" in --output=*) output="${word#--output=}";; esac; done\n'
        f'[ -n "$output" ] || output=$(sed -n "s/^output_dir: //p" {tmp_path}/config)\n'
        f'cp {default_scorer().path}/* "$output"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    script = tmp_path / "mine.py"
    script.write_text("")
    if name == "torchrun":
        options["values"] = {"script": str(script)}
    trainer = Command(**options, batch_size=64, devices=2, epochs=2.0)
    model = default_scorer()
    trainer.check(model)
    if name != "torchrun":
        assert trainer.identity()["version"] == "1.2.3"
    (tmp_path / "scratch").mkdir()
    trainer.train([Example("a", "say red", "red")], model, Context(seed=5, scratch=tmp_path / "scratch"))
    words = (tmp_path / "words").read_text()
    if name == "torchrun":
        assert words.split()[:3] == ["--standalone", "--nproc_per_node=2", str(script)]
        assert "--epochs=2 " in words and "--batch_size=64 " in words and "--max_length=128" in words
        return
    config = OmegaConf.to_container(OmegaConf.load(tmp_path / "config"))
    assert isinstance(config, dict)
    assert (config["seed"], config["gradient_accumulation_steps"], config["resume_from_checkpoint"]) == (5, 4, None)
    assert model.path in config.values() and 2.0 in config.values() and 128 in config.values()
    data = tmp_path / "all" / "data"
    assert (data / "selection.jsonl").read_text().count("\n") == 1
    assert (data / "dataset_info.json").is_file() == (name == "llama_factory")
