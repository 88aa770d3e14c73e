"""A tuned model that gives what its base gives is found out, and a trained one is not."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from helpers.tiny_models import make_model, make_pool

from selbench.api import ModelRef
from selbench.models import load_model
from selbench.run.output_change import is_unchanged, output_change

POOL = make_pool(6)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("base"))


def saved(base: ModelRef, folder, change=lambda network: None) -> ModelRef:
    """A copy of the base, its weights written anew after `change`."""
    shutil.copytree(base.path, folder)
    network = load_model(base, device="cpu")
    change(network)
    network.save_pretrained(folder)
    return dataclasses.replace(base, path=str(folder))


def test_a_copy_of_the_base_is_unchanged(base, tmp_path):
    assert output_change(base, base, POOL) == 0
    assert is_unchanged(output_change(base, saved(base, tmp_path / "copy"), POOL))


def test_weights_that_are_only_kept_in_another_type_are_unchanged(base, tmp_path):
    import torch

    tuned = saved(base, tmp_path / "half", lambda network: network.to(torch.bfloat16))
    assert "bfloat16" in json.dumps(json.loads((tmp_path / "half" / "config.json").read_text()))
    assert is_unchanged(output_change(base, tuned, POOL))


def test_a_small_step_is_a_change(base, tmp_path):
    def step(network):
        network.lm_head.weight.data += 1e-3

    change = output_change(base, saved(base, tmp_path / "tuned", step), POOL)
    assert change > 1e-5 and is_unchanged(change) is False


@pytest.mark.parametrize("trained", [False, True])
def test_an_adapter_counts_by_what_it_does(base, tmp_path, trained):
    from peft import LoraConfig, get_peft_model

    network = get_peft_model(load_model(base, device="cpu"), LoraConfig(r=2, target_modules="all-linear"))
    if trained:
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.data += 0.01
    network.save_pretrained(tmp_path)
    tuned = dataclasses.replace(base, adapter=str(tmp_path))
    assert is_unchanged(output_change(base, tuned, POOL)) is not trained
    # The base may have an adapter itself: then that is what was tuned.
    assert is_unchanged(output_change(tuned, base, POOL)) is not trained
    assert output_change(tuned, tuned, POOL) == 0


def test_what_cannot_be_loaded_is_not_known(base, tmp_path):
    (tmp_path / "seen.json").write_text("[]")
    assert output_change(base, ModelRef("toy", str(tmp_path)), POOL) is None
    (tmp_path / "config.json").write_text("{}")
    assert output_change(base, ModelRef("toy", str(tmp_path)), POOL) is None
    assert is_unchanged(None) is None
