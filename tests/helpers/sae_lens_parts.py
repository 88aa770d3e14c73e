"""The parts of sae-lens 6.54 that we use, and a repository in the form of Llama Scope, in miniature.

The package is no test dependency. Where it is installed, tests/features/test_sae_lens.py reads the same repository with it.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import load_file, save

RELEASE, ID = "llama_scope_lxr_32x", "l31r_32x"
AUTOENCODER = f"sae_lens:{RELEASE}:{ID}"
MODEL = "meta-llama/Llama-3.1-8B"
REPOSITORY, FOLDER = "fnlp/Llama3_1-8B-Base-LXR-32x", "Llama3_1-8B-Base-L31R-32x"
FACTOR = 0.8648648648648649  # norm_scaling_factor of this autoencoder in sae-lens's list


def weights(latents: int = 24, width: int = 16) -> dict[str, torch.Tensor]:
    """As in a checkpoint of Llama Scope: the encoder is L x d, the decoder d x L."""
    draw = torch.Generator().manual_seed(0)
    return {
        "encoder.weight": torch.randn(latents, width, generator=draw),
        "encoder.bias": torch.randn(latents, generator=draw) / 4,
        "decoder.weight": torch.randn(width, latents, generator=draw),
        "decoder.bias": torch.randn(width, generator=draw),
    }


def repository(hook: str = "blocks.2.hook_resid_post", width: int = 16, threshold: float = 0.5) -> dict[str, bytes]:
    """The files of the repository: a configuration and weights. Its average norm makes the factor of the list."""
    about = {
        "d_model": width,
        "d_sae": 24,
        "jump_relu_threshold": threshold,
        "hook_point_in": hook,
        "dataset_average_activation_norm": {"in": width**0.5 / FACTOR},
    }
    return {
        f"{FOLDER}/hyperparams.json": json.dumps(about).encode(),
        f"{FOLDER}/checkpoints/final.safetensors": save(weights(width=width)),
    }


def install(monkeypatch, repository: str = REPOSITORY, **changes) -> None:
    """Put modules in the place of sae-lens that read this repository as sae-lens reads Llama Scope.

    `changes` are settings of the loaded autoencoder (k, normalize_activations, ...); `kind` is its architecture.
    """
    from huggingface_hub import hf_hub_download

    def configuration(release: str, name: str) -> dict:
        about = json.loads(Path(hf_hub_download(repository, f"{FOLDER}/hyperparams.json")).read_text())
        return {
            "architecture": changes.get("kind", "jumprelu"),
            "d_in": about["d_model"],
            "d_sae": about["d_sae"],
            "jump": about["jump_relu_threshold"] * FACTOR,
            "metadata": {"model_name": MODEL, "hook_name": about["hook_point_in"]},
        }

    def from_pretrained(release: str, name: str, device: str):
        about = configuration(release, name)
        raw = load_file(hf_hub_download(repository, f"{FOLDER}/checkpoints/final.safetensors"))
        facts = {"normalize_activations": "none", "apply_b_dec_to_input": False, "rescale_acts_by_decoder_norm": False}
        cfg = types.SimpleNamespace(**{**facts, **changes})
        cfg.architecture = lambda: about["architecture"]
        cfg.metadata = types.SimpleNamespace(hook_name=about["metadata"]["hook_name"])
        sae = types.SimpleNamespace(cfg=cfg, W_enc=raw["encoder.weight"].T * FACTOR, b_enc=raw["encoder.bias"])
        sae.W_dec, sae.b_dec = raw["decoder.weight"].T / FACTOR, raw["decoder.bias"] / FACTOR
        sae.threshold = torch.full((about["d_sae"],), about["jump"])
        return sae

    listed = {RELEASE: types.SimpleNamespace(repo_id=repository, saes_map={ID: FOLDER, "l30r_32x": "another"})}
    parts = {
        "sae_lens": {"SAE": types.SimpleNamespace(from_pretrained=from_pretrained)},
        "sae_lens.loading": {},
        "sae_lens.loading.pretrained_saes_directory": {"get_pretrained_saes_directory": lambda: listed},
        "sae_lens.loading.pretrained_sae_loaders": {"load_sae_config_from_huggingface": configuration},
    }
    for name, content in parts.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
