"""Whether a published autoencoder fits a scorer: model, layer, hook and width, read without its weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selbench.api import ModelRef
from selbench.errors import UserError
from selbench.features import sae_from_lens
from selbench.features.sae_published import published_content, sparsify_folder
from selbench.features.sae_tokens import resolve_layer
from selbench.models import config_of, local_folder

# Words in a model's name that change nothing of its weights, and those of a model tuned from the one without them.
SAME = {"meta", "hf", "base", "pt"}
TUNED = {"instruct", "it", "chat", "sft", "dpo", "rlhf"}
ALIASES = {"gpt2-small": "gpt2"}  # TransformerLens' own names, where they are others than the hub's


@dataclass(frozen=True)
class Origin:
    """What an autoencoder says of the activations that it was trained on; None where it does not say."""

    model: str | None = None  # a name, as on the hub
    layer: int | None = None  # the block whose output it reads, from 0
    width: int | None = None


def origin_of(path: str, layer: str | None = None) -> Origin:
    """What a published autoencoder was trained on, from its configuration alone.

    `layer` names the folder where there is one per layer. Raises UserError if there is no autoencoder, or one that does not
    read the output of a block, or of a kind that is not supported.
    """
    if path.startswith(sae_from_lens.PREFIX):
        about = sae_from_lens.configuration(path)
        block = sae_from_lens.layer_of_hook(about.get("hook_name") or "")
        return Origin(about.get("model_name"), block, about.get("d_in"))
    published_content(path)
    place = Path(path).expanduser()
    if not place.is_dir():
        return Origin(width=_width_of_file(place))
    place, settings, named = sparsify_folder(place, layer)
    return Origin(_model_beside(place), named, settings.get("d_in"))


def check_fit(path: str, origin: Origin, scorer: ModelRef, layer: str | None, another_name: bool) -> list[str]:
    """Sentences that warn of what may not fit. Raises UserError for what does not.

    Args:
        path: the option `autoencoder`.
        origin: what it was trained on.
        scorer: the model whose activations it is to read; of one whose configuration is not at hand only the name is
            checked.
        layer: the option `layer`.
        another_name: whether the user says that the scorer is the autoencoder's model under another name.
    """
    config = config_of(scorer) or {}
    config = {**config, **(config.get("text_config") or {})}
    width = config.get("hidden_size") or config.get("n_embd")
    depth = config.get("num_hidden_layers") or config.get("n_layer")
    who = f"autoencoder={path}"
    if origin.width and width and origin.width != width:
        raise UserError(
            f"{who} reads activations of width {origin.width:,}, but scorer '{scorer.name}' has width {width:,}: it was "
            f"trained on another model{f', {origin.model}' if origin.model else ''}."
        )
    _check_layer(who, origin, scorer, layer, depth)
    return _model_warnings(who, origin, scorer, config, another_name)


def _check_layer(who: str, origin: Origin, scorer: ModelRef, layer: str | None, depth: int | None) -> None:
    if origin.layer is None and layer is None:
        raise UserError(f"{who} does not say which layer it reads: name it with selector.layer=NUMBER, from 0.")
    if depth is None:
        return
    asked = None if layer is None else resolve_layer(layer, depth)
    if origin.layer is not None and origin.layer >= depth:
        raise UserError(
            f"{who} reads the output of block {origin.layer}, but scorer '{scorer.name}' has {depth} blocks, 0 to {depth - 1}."
        )
    if asked is not None and origin.layer is not None and asked != origin.layer:
        raise UserError(
            f"{who} reads the output of block {origin.layer}, but selector.layer={layer} is block {asked} of scorer "
            f"'{scorer.name}': leave selector.layer out."
        )


def _model_warnings(
    who: str, origin: Origin, scorer: ModelRef, config: dict[str, Any], another_name: bool
) -> list[str]:
    if not origin.model:
        return [f"{who} does not say which model it was trained on: that it is '{scorer.name}' is not checked."]
    trained, used = f"was trained on {origin.model}", f"scorer '{scorer.name}' ({scorer.path})"
    # A name on the hub is the model's; a folder may be called anything, so the scorer's own name counts as well.
    own = [scorer.path.rstrip("/")]
    own += [scorer.name, str(config.get("_name_or_path") or "")] if local_folder(scorer) else []
    kinds = {_likeness(origin.model, name) for name in own if name}
    if "same" in kinds and "tuned" not in kinds and not scorer.adapter:
        return []
    if kinds & {"same", "tuned"}:
        adapter = " with an adapter" if scorer.adapter else ""
        return [
            f"{who} {trained}, and reads {used}{adapter}, a model of the same family that was tuned otherwise: how well it "
            "reconstructs its activations is not known."
        ]
    if another_name:
        return [f"{who} {trained}, and reads {used}, as selector.autoencoder_fits=true asks."]
    raise UserError(
        f"{who} {trained}, but would read {used}. If that is a copy of it, or tuned from it: "
        "selector.autoencoder_fits=true."
    )


def _likeness(one: str, other: str) -> str:
    """`same` for names of one model, `tuned` where they differ in a word of TUNED only, else `other`."""
    a, b = (_words(name) for name in (one, other))
    if a == b:
        return "same"
    return "tuned" if [w for w in a if w not in TUNED] == [w for w in b if w not in TUNED] else "other"


def _words(name: str) -> list[str]:
    last = name.rpartition("/")[2].lower().replace("_", "-")
    return [word for word in re.split(r"[-\s]+", ALIASES.get(last, last)) if word and word not in SAME]


def _width_of_file(file: Path) -> int | None:
    """The width in the header of a safetensors file with encoder_weights (d x L); None if it has none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as tensors:
            if "encoder_weights" not in tensors.keys():  # noqa: SIM118 (it is no mapping)
                return None
            return int(tensors.get_slice("encoder_weights").get_shape()[0])
    except (SafetensorError, OSError):  # loading it says what is wrong
        return None


def _model_beside(place: Path) -> str | None:
    """The model in the config.json that sparsify's trainer leaves beside its layers, or in the folder."""
    for file in (place / "config.json", place.parent / "config.json"):
        try:
            found = json.loads(file.read_text()).get("model")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, str) and found:
            return found
    return None
