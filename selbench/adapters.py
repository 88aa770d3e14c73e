"""Merges a plain LoRA adapter into a loaded model so that it can be taken out again, bit for bit."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.free_memory import free_bytes

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Originals = dict[str, "torch.Tensor"]  # module -> its weight before an adapter was merged into it, in host memory

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The name in the file of a weight of plain LoRA. Any other (a magnitude of DoRA, a bias, a saved module) is not undone here.
FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# Entries of adapter_config.json that leave the base alone, whatever they say.
HARMLESS = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",  # of `use_qalora`
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
}
# Entries with the values at which they leave it alone. All others have to be off.
PLAIN = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian")}
# The copies of the original weights may take this share of the memory that is free.
ROOM = 0.5


def merge_undoably(network: PreTrainedModel, adapter: Path) -> Originals | None:
    """Merges the adapter in place, with the bits that PEFT's merging gives on a CPU. Gives the weights that it changed.

    None if the adapter cannot be undone with certainty: it is no plain LoRA, changes a weight that two modules share, or
    the copies would not fit into memory. The network is then not to be used any more. Errors of PEFT's pass.
    """
    import torch
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    names = _changed_modules(adapter)
    layers = _own_weights(network, names) if names else {}
    if not layers:
        return None
    cpu, device = torch.device("cpu"), network.device
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers.values())
    free = free_bytes(cpu)
    if free is not None and size > ROOM * free:
        return None
    originals = {name: layer.weight.data.to(cpu, copy=True) for name, layer in layers.items()}
    if device != cpu:
        # As `load_model` merges: before the model is moved.
        for name, layer in layers.items():
            layer.weight.data = originals[name].clone()
    wrapped = PeftModel.from_pretrained(network, str(adapter))
    prefix = "base_model.model."
    found = {name.removeprefix(prefix) for name, part in wrapped.named_modules() if isinstance(part, BaseTunerLayer)}
    if found != set(layers) or wrapped.merge_and_unload() is not network:
        return None
    for layer in layers.values():
        layer.weight.data = layer.weight.data.to(device)
    return originals


def put_back(network: PreTrainedModel, originals: Originals) -> None:
    """Undoes a merging."""
    for name, original in originals.items():
        layer: Any = network.get_submodule(name)
        layer.weight.data = original.to(layer.weight.device)


def _changed_modules(adapter: Path) -> set[str] | None:
    """The modules whose weight a plain LoRA adapter changes, as its file names them; None for any other adapter."""
    try:
        config = json.loads((adapter / CONFIG).read_text())
        names = _names_in(adapter / WEIGHTS)
    except (OSError, ValueError):
        return None
    if not all(value in PLAIN[key] if key in PLAIN else key in HARMLESS or not value for key, value in config.items()):
        return None
    factors = [FACTOR.fullmatch(name) for name in names]
    if not all(factors) or not config.keys() >= PLAIN.keys():
        return None
    pairs = {(found[1], found[2]) for found in factors if found}
    modules = {module for module, _ in pairs}
    return modules if len(pairs) == 2 * len(modules) == len(names) else None


def _names_in(file: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            return list(tensors.keys())
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _own_weights(network: PreTrainedModel, names: set[str]) -> dict[str, Any]:
    """Name -> module, if each of them has a weight of its own, shared with no other module; else nothing."""
    parts = dict(network.named_modules())
    uses = Counter(parameter.data_ptr() for _, parameter in network.named_parameters(remove_duplicate=False))
    weights = [getattr(parts.get(name), "weight", None) for name in names]
    if any(weight is None or uses[weight.data_ptr()] != 1 for weight in weights):
        return {}
    return {name: parts[name] for name in sorted(names)}
