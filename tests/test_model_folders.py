"""A folder that lacks a part of a model: the message is whole, and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import selbench
from selbench.api import ModelRef
from selbench.errors import UserError
from selbench.models import load_model, load_tokenizer, require_complete

PLANTED = Path(selbench.__file__).parent / "planted" / "models" / "planted-1m"


def _folder(tmp_path: Path, *names: str) -> ModelRef:
    for name in names:
        shutil.copy(PLANTED / name, tmp_path / name)
    return ModelRef("mine", str(tmp_path))


@pytest.mark.parametrize(
    "names", [("config.json", "model.safetensors"), (), ("config.json", "tokenizer_config.json")], ids=str
)
def test_no_tokenizer(tmp_path, names):
    with pytest.raises(UserError) as said:
        load_tokenizer(_folder(tmp_path, *names))
    assert not str(said.value).rstrip().endswith(":")
    assert "there is no tokenizer in it" in str(said.value) or "tokenizer_config.json" in names
    assert str(tmp_path) in str(said.value)


def test_no_config(tmp_path):
    with pytest.raises(UserError, match=r"there is no config\.json in it"):
        load_model(_folder(tmp_path, "model.safetensors", "tokenizer.json"))


def test_an_adapter_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere/base"}')
    for load in (load_model, load_tokenizer, require_complete):
        with pytest.raises(UserError, match=r"holds an adapter.*model\.adapter"):
            load(_folder(tmp_path))


@pytest.mark.parametrize(
    ("names", "missing"),
    [(("config.json", "model.safetensors"), "tokenizer"), (("config.json", "tokenizer.json"), "weights")],
)
def test_a_folder_that_lacks_a_part_is_refused_before_any_cell(tmp_path, names, missing):
    with pytest.raises(UserError, match=f"{missing} in it"):
        require_complete(_folder(tmp_path, *names))


def test_a_whole_model_and_a_tokenizer_alone_pass(tmp_path):
    require_complete(ModelRef("planted", str(PLANTED)))
    require_complete(_folder(tmp_path, "tokenizer.json"))
