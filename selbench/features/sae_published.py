"""Published autoencoders, read into the same arrays as a SparseAutoencoder feature."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selbench.errors import UserError
from selbench.features import sae_from_lens
from selbench.hashing import folder_hash

FORMATS = (
    "a folder with cfg.json and sae.safetensors (EleutherAI sparsify; one folder per layer, such as layers.10), "
    "a .safetensors file with encoder_weights, encoder_bias, decoder_weights and pre_bias, "
    "or sae_lens:RELEASE:SAE_ID"
)


def published_content(path: str) -> str:
    """What identifies the autoencoder: a hash of its files, or its name in sae-lens. Raises UserError if it is missing."""
    if path.startswith(sae_from_lens.PREFIX):
        return path
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"autoencoder={path} does not exist. Valid: {FORMATS}.")
    return folder_hash(place if place.is_dir() else place.parent) + ("" if place.is_dir() else place.name)


def load_published(path: str, layer: str | None = None) -> dict[str, np.ndarray]:
    """The arrays W_enc and W_dec (L x d), b_enc (L), b_dec (d), `scale` (1), `k` (0: unknown), and `layer` where it is known.

    One with a JumpReLU also has `jump` (L): a latent's activations up to this are 0.

    In a folder with one folder per layer, `layer` names the one that is loaded.

    Raises UserError if `path` does not exist, has none of FORMATS, or holds a kind of autoencoder that is not supported.
    """
    if path.startswith(sae_from_lens.PREFIX):
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


def sparsify_folder(place: Path, layer: str | None) -> tuple[Path, dict[str, Any], int | None]:
    """The folder of one autoencoder as sparsify writes it, what its cfg.json says, and the block that it reads.

    In a folder with one folder per layer, `layer` names the one that is meant. The block is taken from the folder's name;
    None where that says nothing. Raises UserError for a folder without one, for one that is no plain TopK autoencoder, and
    for one that does not read the output of a block.
    """
    if not (place / "cfg.json").is_file():
        layers = sorted(p.parent.name for p in place.glob("*/cfg.json"))
        if layers and f"layers.{layer}" not in layers:
            raise UserError(f"{place} holds an autoencoder for each of {', '.join(layers)}: name one folder of them.")
        if not layers:
            raise UserError(f"{place} holds no autoencoder that is understood. Valid: {FORMATS}.")
        place = place / f"layers.{layer}"
    try:
        settings = json.loads((place / "cfg.json").read_text())
    except ValueError as error:
        raise UserError(f"{place / 'cfg.json'} is not JSON: {error}") from error
    odd = [name for name in ("transcode", "skip_connection") if settings.get(name)]
    if settings.get("activation", "topk") != "topk" or odd:
        raise UserError(f"{place} is not a plain TopK autoencoder ({', '.join(odd) or settings['activation']}).")
    # sparsify names a folder by the module whose output is read: layers.10, h.10 or layers.10.mlp.
    named = re.fullmatch(r"(?:.*\.)?(?:layers|h)\.(\d+)(\..+)?", place.name)
    if named and named.group(2):
        raise UserError(f"the autoencoder reads '{place.name}', which is not the output of a block.")
    return place, settings, int(named.group(1)) if named else None


def _load_sparsify_folder(place: Path, layer: str | None) -> dict[str, np.ndarray]:
    """An autoencoder as SparseCoder.save_to_disk of EleutherAI's sparsify writes it: encoder and decoder are L x d."""
    place, settings, block = sparsify_folder(place, layer)
    tensors = _read_tensors(place / "sae.safetensors", ("encoder.weight", "encoder.bias", "W_dec", "b_dec"))
    found = _checked_arrays(
        place,
        W_enc=tensors["encoder.weight"],
        b_enc=tensors["encoder.bias"],
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        k=int(settings.get("k", 0)),
    )
    return found if block is None else {**found, "layer": np.array(block)}


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
    arrays, hook = sae_from_lens.load_weights(path)
    jump, k = arrays.pop("jump", None), arrays.pop("k")
    found = _checked_arrays(Path(path), **arrays, k=k)
    extra = {} if jump is None else {"jump": np.ascontiguousarray(jump, np.float32)}
    return {**found, **extra, "layer": np.array(sae_from_lens.layer_of_hook(hook))}


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
