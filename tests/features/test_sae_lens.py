"""Autoencoders through sae-lens: from a stand-in of its parts, and with the package itself where it is installed."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from helpers.sae_lens_parts import AUTOENCODER, FACTOR, REPOSITORY, install, repository, weights
from helpers.tiny_models import make_model, make_pool

from selbench.api import Context, UserError
from selbench.features.sae import PublishedAutoencoder
from selbench.features.sae_fit import Origin, check_fit, origin_of
from selbench.features.sae_model import Autoencoder
from selbench.features.sae_published import load_published
from selbench.features.sae_tags import SaeTags
from selbench.features.sae_tokens import TokenStream
from selbench.features.texts import encode_pool
from selbench.models import load_model, load_tokenizer

INSTALLED = "sae_lens" not in sys.modules and importlib.util.find_spec("sae_lens") is not None


@pytest.fixture(params=["stand-in", "package"])
def lens(request, monkeypatch, server):
    """sae-lens and a hub with the repository."""
    if request.param == "stand-in":
        install(monkeypatch)
    elif not INSTALLED:
        pytest.skip("sae-lens is not installed")
    server.push(REPOSITORY, repository())
    return server


def their_activations(x: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Llama Scope's, from the files: a JumpReLU on inputs scaled to its average norm."""
    raw = weights()
    z = (x * FACTOR) @ raw["encoder.weight"].T + raw["encoder.bias"]
    return z * (z > threshold * FACTOR)


def test_a_jumprelu_autoencoder_is_read_as_its_files_say(lens):
    arrays = load_published(AUTOENCODER)
    assert arrays["layer"] == 2 and arrays["k"] == 0 and arrays["W_enc"].shape == (24, 16)
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    model = Autoencoder.of(arrays)
    ours = model.activated(model.potentials(x))
    theirs = their_activations(x)
    assert torch.allclose(ours, theirs, atol=1e-4) and 0 < (theirs > 0).sum() < theirs.numel() / 2
    raw = weights()
    back = (theirs @ raw["decoder.weight"].T + raw["decoder.bias"]) / FACTOR
    assert torch.allclose(model.reconstruct(x), back, atol=1e-3)


def test_its_configuration_says_what_it_reads(lens):
    assert origin_of(AUTOENCODER) == Origin("meta-llama/Llama-3.1-8B", 2, 16)
    assert not any("safetensors" in asked for asked in lens.asked)


def test_the_key_names_the_commit(lens):
    before = PublishedAutoencoder(AUTOENCODER).identity()
    assert before["commit"] == lens.commits["model", REPOSITORY][-1][0]


def test_tags_of_a_jumprelu_autoencoder_are_the_latents_that_are_on(lens, tmp_path):
    scorer, pool = make_model(tmp_path / "Llama-3.1-8B"), make_pool(20)
    tags = SaeTags(PublishedAutoencoder(AUTOENCODER), threshold="absolute", level=0.0).compute(
        pool, Context(pool, scorer=scorer)
    )
    model = load_model(scorer)
    texts = encode_pool(pool, load_tokenizer(scorer), max_length=64, response=True, context=Context(pool))
    for place in range(len(pool)):
        text = texts.distinct[texts.of[place]]
        (tokens,) = TokenStream(model, [text], 2, "all", rng=np.random.default_rng(0)).read(np.arange(1))
        on = np.flatnonzero((their_activations(tokens) > 0).any(0).numpy())
        assert tags["indices"][tags["indptr"][place] : tags["indptr"][place + 1]].tolist() == on.tolist()


def test_names_that_sae_lens_does_not_list_are_answered_with_similar_ones(lens):
    with pytest.raises(UserError, match=r"no release 'llama_scope_lxr_33x'. Similar: llama_scope_lxr_32x"):
        origin_of(AUTOENCODER.replace("lxr_32x", "lxr_33x"))
    with pytest.raises(UserError, match=r"has no autoencoder 'l31'. Similar: .*l31r_32x"):
        origin_of("sae_lens:llama_scope_lxr_32x:l31")
    with pytest.raises(UserError, match="write sae_lens:RELEASE:SAE_ID"):
        origin_of("sae_lens:release")


def test_a_hub_that_does_not_have_it_is_named(lens):
    lens.commits.clear()
    with pytest.raises(UserError, match=f"neither found nor downloaded: sae-lens says of '{REPOSITORY}'"):
        origin_of(AUTOENCODER)


def test_a_push_between_key_and_reading_is_an_error(lens):
    PublishedAutoencoder(AUTOENCODER).identity()
    lens.push(REPOSITORY, repository(threshold=0.7))
    with pytest.raises(UserError, match="reads its main branch"):
        load_published(AUTOENCODER)


@pytest.mark.parametrize("hook", ["blocks.2.hook_mlp_out", "blocks.0.hook_resid_pre", "blocks.2.attn.hook_z", ""])
def test_another_hook_than_the_output_of_a_block_is_refused(lens, hook):
    lens.push(REPOSITORY, repository(hook=hook))
    for read in (origin_of, load_published):
        with pytest.raises(UserError, match="not the output of a block"):
            read(AUTOENCODER)


def test_resid_pre_is_the_block_before(lens):
    lens.push(REPOSITORY, repository(hook="blocks.2.hook_resid_pre"))
    assert origin_of(AUTOENCODER).layer == load_published(AUTOENCODER)["layer"] == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"kind": "gated"}, "is gated"), ({"normalize_activations": "layer_norm"}, "normalize_activations=layer_norm")],
)
def test_an_unsupported_autoencoder_is_reported(monkeypatch, server, changes, says):
    install(monkeypatch, **changes)
    server.push(REPOSITORY, repository())
    with pytest.raises(UserError, match=says):
        load_published(AUTOENCODER)


def test_a_topk_autoencoder_keeps_its_k(monkeypatch, server):
    install(monkeypatch, kind="topk", k=3)
    server.push(REPOSITORY, repository())
    arrays = load_published(AUTOENCODER)
    assert arrays["k"] == 3 and "jump" not in arrays


def test_a_missing_sae_lens_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    for read in (load_published, origin_of):
        with pytest.raises(UserError, match=r"pip install 'selbench\[sae\]'"):
            read(AUTOENCODER)


# ------------------------------------------------------------------------------------------------ does it fit?


def fits(scorer, model="meta-llama/Llama-3.1-8B", block=2, width=16, layer=None, another_name=False, **changes):
    for name, value in changes.items():
        setattr(scorer, name, value)
    return check_fit("x", Origin(model, block, width), scorer, layer, another_name)


@pytest.fixture
def scorer(tmp_path):
    found = make_model(tmp_path / "Llama-3.1-8B")
    found.name = "base"
    return found


def test_the_model_itself_fits_without_a_word(scorer):
    assert fits(scorer) == fits(scorer, layer="last") == fits(scorer, model="Meta_Llama-3.1-8B") == []
    assert fits(scorer, name="Llama-3.1-8B", model="meta-llama/Llama-3.1-8B", block=0) == []


@pytest.mark.parametrize("trained_on", ["meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b-it"])
def test_a_tuned_relative_is_warned_of(scorer, trained_on):
    (said,) = fits(scorer, model=trained_on)
    assert trained_on in said and "tuned otherwise" in said


def test_an_adapter_is_a_tuned_relative(scorer):
    (said,) = fits(scorer, adapter="somewhere")
    assert "with an adapter" in said


@pytest.mark.parametrize(
    "trained_on", ["meta-llama/Llama-3-8B", "meta-llama/Llama-3.1-70B", "mistralai/Mistral-7B-v0.1"]
)
def test_another_model_of_the_same_width_is_refused_unless_it_is_said_to_be_the_same(scorer, trained_on):
    with pytest.raises(UserError, match=r"would read scorer 'base' .*selector\.autoencoder_fits=true"):
        fits(scorer, model=trained_on)
    (said,) = fits(scorer, model=trained_on, another_name=True)
    assert trained_on in said


def test_a_folder_of_any_name_counts_by_the_name_of_the_scorer(tmp_path):
    scorer = make_model(tmp_path / "weights")
    with pytest.raises(UserError, match="would read"):
        fits(scorer)
    assert fits(scorer, name="llama-3.1-8b") == []


@pytest.mark.parametrize("another_name", [False, True])
def test_layer_and_width_are_checked_whatever_is_said(scorer, another_name):
    for wrong, says in (
        ({"width": 32}, "width 32, but scorer 'base' has width 16"),
        ({"block": 3}, "block 3, but scorer 'base' has 3 blocks, 0 to 2"),
        ({"layer": "middle"}, "block 2, but selector.layer=middle is block 1"),
        ({"block": None}, "does not say which layer"),
    ):
        with pytest.raises(UserError, match=says):
            fits(scorer, another_name=another_name, **wrong)


def test_what_is_not_said_is_told(scorer):
    (said,) = fits(scorer, model=None)
    assert "does not say which model" in said
