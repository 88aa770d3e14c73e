"""The modules of a decoder: every family has an entry that fits its models, and errors name an entry that does not."""

from __future__ import annotations

import pytest
from helpers.tiny_models import FAMILIES, make_model

from selbench.errors import UserError
from selbench.features.architectures import ARCHITECTURES, architecture_of, blocks_of, part_of


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_entry_that_fits(family, tmp_path):
    from selbench.models import load_model

    model = load_model(make_model(tmp_path, family))
    blocks = blocks_of(model)
    assert len(blocks) == 3
    assert all(part_of(model, block, part) for block in blocks for part in ("gate", "up", "down"))


def test_every_entry_is_tested():
    assert set(ARCHITECTURES) == set(FAMILIES)


def test_an_unknown_architecture_says_what_to_declare():
    from transformers import AutoModelForCausalLM, OPTConfig

    config = OPTConfig(vocab_size=64, hidden_size=16, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2)
    config.word_embed_proj_dim = 16
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match=r"type 'opt'.*ARCHITECTURES\['opt'\] = Architecture\(blocks="):
        architecture_of(model)


def test_an_entry_that_does_not_fit_is_named(monkeypatch, tmp_path):
    from selbench.features.architectures import Architecture
    from selbench.models import load_model

    model = load_model(make_model(tmp_path))
    monkeypatch.setitem(ARCHITECTURES, "llama", Architecture("layers", "mlp.act_fn", "mlp.nowhere", "mlp.down_proj"))
    with pytest.raises(UserError, match=r"'mlp.nowhere' in LlamaDecoderLayer"):
        part_of(model, blocks_of(model)[0], "up")
