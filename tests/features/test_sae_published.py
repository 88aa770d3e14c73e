"""Published autoencoders: the three formats, and the errors for those that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_model, make_pool
from safetensors.torch import save_file

from selbench.api import Context, ModelRef, UserError
from selbench.features.sae import PublishedAutoencoder, SparseAutoencoder
from selbench.features.sae_model import Autoencoder
from selbench.features.sae_published import load_published
from selbench.features.sae_tags import SaeTags


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("scorer"))


def weights(latents=24, width=16, seed=0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "encoder.weight": torch.randn(latents, width, generator=draw),
        "encoder.bias": torch.randn(latents, generator=draw),
        "W_dec": torch.randn(latents, width, generator=draw),
        "b_dec": torch.randn(width, generator=draw),
    }


def sparsify(folder, **settings):
    """Write an autoencoder as SparseCoder.save_to_disk of EleutherAI's sparsify does; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(), folder / "sae.safetensors")
    config = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": 24, "k": 3}
    (folder / "cfg.json").write_text(json.dumps({**config, "d_in": 16, **settings}))
    return folder


def test_real_autoencoders_in_single_files(shared_data):
    folder = shared_data / "models" / "sae-tinystories-1m"
    if not folder.is_dir():
        pytest.skip(f"no sample autoencoders at {folder}")
    from safetensors.numpy import load_file

    for latents in (1024, 512, 128):
        file = folder / f"sae_{latents}_k4.safetensors"
        arrays, raw = load_published(str(file)), load_file(file)
        assert arrays["W_enc"].shape == arrays["W_dec"].shape == (latents, 64)
        assert arrays["k"] == 4 and arrays["scale"] == 1
        x = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32) + raw["pre_bias"]
        # config.json: (x - pre_bias) @ encoder_weights + encoder_bias, keep the 4 largest; z @ decoder_weights + pre_bias
        z = (x - raw["pre_bias"]) @ raw["encoder_weights"] + raw["encoder_bias"]
        z = np.where(z >= np.sort(z, axis=1)[:, -4:-3], np.maximum(z, 0), 0)
        ours = Autoencoder.of(arrays).reconstruct(torch.from_numpy(x)).numpy()
        assert np.allclose(ours, z @ raw["decoder_weights"] + raw["pre_bias"], atol=1e-3)


def test_a_sparsify_folder_is_read(tmp_path):
    sparsify(tmp_path / "layers.1")
    arrays = load_published(str(tmp_path / "layers.1"))
    assert (arrays["k"], arrays["layer"]) == (3, 1)
    raw = weights()
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    values, places = torch.relu((x - raw["b_dec"]) @ raw["encoder.weight"].T + raw["encoder.bias"]).topk(3)
    wanted = torch.zeros(9, 24).scatter(1, places, values) @ raw["W_dec"] + raw["b_dec"]
    assert torch.allclose(Autoencoder.of(arrays).reconstruct(x), wanted, atol=1e-4)


def test_one_layer_of_a_sparsify_folder_is_read(tmp_path):
    for layer in (1, 10):
        sparsify(tmp_path / f"layers.{layer}")
    assert load_published(str(tmp_path), "10")["layer"] == 10
    with pytest.raises(UserError, match=r"layers\.1, layers\.10"):
        load_published(str(tmp_path))
    assert "layer" not in load_published(str(sparsify(tmp_path / "plain")))


def test_what_sparsify_names_after_another_module_is_refused(tmp_path):
    assert load_published(str(sparsify(tmp_path / "model.layers.2")))["layer"] == 2
    assert load_published(str(sparsify(tmp_path / "transformer.h.2")))["layer"] == 2
    for name in ("layers.2.mlp", "h.2.attn"):
        with pytest.raises(UserError, match="not the output of a block"):
            load_published(str(sparsify(tmp_path / name)))


@pytest.mark.parametrize("settings", [{"activation": "groupmax"}, {"transcode": True}, {"skip_connection": True}])
def test_an_unsupported_kind_of_autoencoder_is_reported(tmp_path, settings):
    with pytest.raises(UserError, match="not a plain TopK"):
        load_published(str(sparsify(tmp_path / "layers.1", **settings)))


def test_files_that_are_no_autoencoder_are_reported(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_published(str(tmp_path / "nowhere"))
    (tmp_path / "README.md").write_text("hello")
    with pytest.raises(UserError, match="no autoencoder that is understood"):
        load_published(str(tmp_path))
    with pytest.raises(UserError, match="not a safetensors file"):
        load_published(str(tmp_path / "README.md"))
    save_file({"lm_head.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="no tensor decoder_weights, encoder_bias"):
        load_published(str(tmp_path / "model.safetensors"))
    bad = {**weights(), "b_dec": torch.zeros(5)}
    save_file(bad, sparsify(tmp_path / "layers.1") / "sae.safetensors")
    with pytest.raises(UserError, match="shapes do not fit"):
        load_published(str(tmp_path / "layers.1"))


def test_tags_are_read_with_a_published_autoencoder(tmp_path, scorer):
    pool = make_pool(20)
    sae = PublishedAutoencoder(str(sparsify(tmp_path / "layers.1")))
    tags = SaeTags(sae).compute(pool, Context(pool, scorer=scorer))
    assert tags["shape"].tolist() == [20, 24] and len(tags["indices"]) and "fvu" not in tags
    bare = str(sparsify(tmp_path / "bare"))
    other = SaeTags(PublishedAutoencoder(bare, layer="last")).compute(pool, Context(pool, scorer=scorer))
    assert other["theta"] != tags["theta"]
    with pytest.raises(UserError, match="reads the output of block 1, but layer=last is block 2"):
        wrong = PublishedAutoencoder(str(tmp_path / "layers.1"), layer="last")
        SaeTags(wrong).compute(pool, Context(pool, scorer=scorer))


def test_a_published_autoencoder_that_does_not_fit_is_reported(tmp_path, scorer, shared_data):
    pool = make_pool(5)
    bare = PublishedAutoencoder(str(sparsify(tmp_path / "bare")))
    with pytest.raises(UserError, match="does not say which layer"):
        SaeTags(bare).compute(pool, Context(pool, scorer=scorer))
    file = tmp_path / "one.safetensors"
    names = {"encoder_weights": (8, 12), "encoder_bias": (12,), "decoder_weights": (12, 8), "pre_bias": (8,)}
    save_file({name: torch.ones(shape) for name, shape in names.items()}, file)
    with pytest.raises(UserError, match="no k to derive theta from"):
        SaeTags(PublishedAutoencoder(str(file), layer="1")).compute(pool, Context(pool, scorer=scorer))
    with pytest.raises(UserError, match=r"width 8, but scorer 'llama' has width 16"):
        SaeTags(PublishedAutoencoder(str(file), layer="1"), level=2).compute(pool, Context(pool, scorer=scorer))


def test_specs_compare_the_files_and_not_their_paths(tmp_path):
    one, two = sparsify(tmp_path / "a" / "layers.1"), sparsify(tmp_path / "b" / "layers.1")
    assert PublishedAutoencoder(str(one)) == PublishedAutoencoder(str(two))
    sparsify(two, k=4)
    assert PublishedAutoencoder(str(one)) != PublishedAutoencoder(str(two))
    assert SaeTags(SparseAutoencoder()) != SaeTags(PublishedAutoencoder(str(one)))
