"""Published autoencoders, read into the same arrays as a SparseAutoencoder feature."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selbench.errors import UserError
from selbench.hashing import folder_hash

SAE_LENS = "sae_lens:"

FORMATS = (
    "a folder with cfg.json and sae.safetensors (EleutherAI sparsify; one folder per layer, such as layers.10), "
    "a .safetensors file with encoder_weights, encoder_bias, decoder_weights and pre_bias, "
    "or sae_lens:RELEASE:SAE_ID"
)


def published_content(path: str) -> str:
    """What identifies the autoencoder: a hash of its files, or its name in sae-lens. Raises UserError if it is missing."""
    if path.startswith(SAE_LENS):
        return path
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"autoencoder={path} does not exist. Valid: {FORMATS}.")
    return folder_hash(place if place.is_dir() else place.parent) + ("" if place.is_dir() else place.name)


def load_published(path: str, layer: str | None = None) -> dict[str, np.ndarray]:
    """The arrays W_enc and W_dec (L x d), b_enc (L), b_dec (d), `scale` (1), `k` (0: unknown), and `layer` where it is known.

    In a folder with one folder per layer, `layer` names the one that is loaded.

    Raises UserError if `path` does not exist, has none of FORMATS, or holds a kind of autoencoder that is not supported.
    """
    if path.startswith(SAE_LENS):
        return _load_with_sae_lens(path)
    published_content(path)
    place = Path(path).expanduser()
    return _load_sparsify_folder(place, layer) if place.is_dir() else _load_single_file(place)


def check_width(arrays: Mapping[str, np.ndarray], width: int, scorer: str) -> None:
    """Raise UserError if the autoencoder does not fit activations of this width."""
    if arrays["W_enc"].shape[1] != width:
        raise UserError(
            f"the autoencoder reads activations of width {arrays['W_enc'].shape[1]}, but scorer '{scorer}' has width "
            f"{width}: it was trained on another model."
        )


def _load_sparsify_folder(place: Path, layer: str | None) -> dict[str, np.ndarray]:
    """An autoencoder as SparseCoder.save_to_disk of EleutherAI's sparsify writes it: encoder and decoder are L x d."""
    if not (place / "cfg.json").is_file():
        layers = sorted(p.parent.name for p in place.glob("*/cfg.json"))
        if layers and f"layers.{layer}" not in layers:
            raise UserError(f"{place} holds an autoencoder for each of {', '.join(layers)}: name one folder of them.")
        if not layers:
            raise UserError(f"{place} holds no autoencoder that is understood. Valid: {FORMATS}.")
        place = place / f"layers.{layer}"
    tensors = _read_tensors(place / "sae.safetensors", ("encoder.weight", "encoder.bias", "W_dec", "b_dec"))
    try:
        settings = json.loads((place / "cfg.json").read_text())
    except ValueError as error:
        raise UserError(f"{place / 'cfg.json'} is not JSON: {error}") from error
    odd = [name for name in ("transcode", "skip_connection") if settings.get(name)]
    if settings.get("activation", "topk") != "topk" or odd:
        raise UserError(f"{place} is not a plain TopK autoencoder ({', '.join(odd) or settings['activation']}).")
    found = _checked_arrays(
        place,
        W_enc=tensors["encoder.weight"],
        b_enc=tensors["encoder.bias"],
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        k=int(settings.get("k", 0)),
    )
    named = re.fullmatch(r"layers\.(\d+)", place.name)
    return {**found, "layer": np.array(int(named.group(1)))} if named else found


def _load_single_file(place: Path) -> dict[str, np.ndarray]:
    """An autoencoder in one safetensors file: the encoder is d x L, the decoder L x d.

    k is read from the file's name ("_k4") or else from the config.json beside the file ("top-k, k=4").
    """
    names = ("encoder_weights", "encoder_bias", "decoder_weights", "pre_bias")
    tensors = _read_tensors(place, names)
    beside = place.parent / "config.json"
    said = re.search(r"_k(\d+)", place.stem) or re.search(r"k=(\d+)", beside.read_text() if beside.is_file() else "")
    return _checked_arrays(
        place,
        W_enc=tensors["encoder_weights"].T,
        b_enc=tensors["encoder_bias"],
        W_dec=tensors["decoder_weights"],
        b_dec=tensors["pre_bias"],
        k=int(said.group(1)) if said else 0,
    )


def _load_with_sae_lens(path: str) -> dict[str, np.ndarray]:
    try:
        from sae_lens import SAE
    except ImportError as error:
        raise UserError(f"autoencoder={path} is loaded by sae-lens: pip install 'selbench[sae]'.") from error
    release, _, name = path.removeprefix(SAE_LENS).partition(":")
    if not (release and name):
        raise UserError(f"autoencoder={path}: write sae_lens:RELEASE:SAE_ID.")
    try:
        loaded = SAE.from_pretrained(release, name, device="cpu")
    except Exception as error:  # errors for a wrong name, a missing file or no network have no common class
        raise UserError(
            f"sae-lens could not load '{name}' of release '{release}': {str(error).splitlines()[0]}"
        ) from error
    sae = loaded[0] if isinstance(loaded, tuple) else loaded  # versions before 6 return a tuple
    cfg = sae.cfg
    kind = cfg.architecture() if callable(cfg.architecture) else cfg.architecture
    if kind not in ("standard", "topk") or cfg.normalize_activations != "none":
        normal = cfg.normalize_activations
        raise UserError(f"autoencoder={path} is {kind}, normalize_activations={normal}; valid: standard or topk, none.")
    if getattr(
        cfg, "rescale_acts_by_decoder_norm", False
    ):  # its TopK compares activations as if decoder rows had length 1
        sae.fold_W_dec_norm()
    weights = {n: getattr(sae, n).detach().float().cpu().numpy() for n in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if not cfg.apply_b_dec_to_input:  # it encodes W x + b, we encode W (x - b_dec) + b
        weights["b_enc"] = weights["b_enc"] + weights["b_dec"] @ weights["W_enc"]
    weights["W_enc"] = weights["W_enc"].T
    found = _checked_arrays(Path(name), **weights, k=int(getattr(cfg, "k", 0)))
    return {**found, **_hook_layer(getattr(getattr(cfg, "metadata", cfg), "hook_name", "") or "")}


def _hook_layer(hook: str) -> dict[str, np.ndarray]:
    """The block whose output a TransformerLens hook reads: its own block (resid_post) or the one before (resid_pre)."""
    named = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", hook)
    layer = int(named.group(1)) - (named.group(2) == "pre") if named else -1
    if layer < 0:
        raise UserError(f"the autoencoder reads '{hook}', which is not the output of a block.")
    return {"layer": np.array(layer)}


def _read_tensors(file: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # torch, because numpy has no bfloat16

    if not file.is_file():
        raise UserError(f"{file} does not exist. Valid autoencoders: {FORMATS}.")
    try:
        tensors = {name: tensor.float().numpy() for name, tensor in load_file(file).items()}
    except SafetensorError as error:
        raise UserError(f"{file} is not a safetensors file: {error}") from error
    if missing := sorted(set(names) - set(tensors)):
        raise UserError(f"{file} has no tensor {', '.join(missing)}. Valid autoencoders: {FORMATS}.")
    return tensors


def _checked_arrays(place: Path, *, k: int, **weights: np.ndarray) -> dict[str, np.ndarray]:
    """The weights in float32 with `k` and a scale of 1. Raises UserError if their shapes do not fit together."""
    latents, width = weights["W_dec"].shape
    wanted = {"W_enc": (latents, width), "b_enc": (latents,), "W_dec": (latents, width), "b_dec": (width,)}
    if odd := [f"{name} {weights[name].shape}" for name, shape in wanted.items() if weights[name].shape != shape]:
        raise UserError(f"{place}: shapes do not fit together: W_dec {(latents, width)}, but {', '.join(odd)}.")
    arrays: dict[str, Any] = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    return {**arrays, "k": np.array(k), "scale": np.array(1.0)}
