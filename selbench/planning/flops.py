"""The cost of running a model, from its configuration alone: parameters and floating-point operations per token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from selbench.api import ModelRef
from selbench.models import config_of

# Operations per parameter and token. Kaplan et al. 2020, arXiv 2001.08361, section 2.1: a forward pass takes two, the
# backward pass twice as many.
FORWARD, TRAINING = 2, 6
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}


def parameters(ref: ModelRef) -> float | None:
    """The number of parameters; None if neither a config.json nor the name tells.

    The config.json is that of a local folder, or of a hub model at its commit; else a size in the name (`...-7b`)
    counts. Nothing else is downloaded.
    """
    config = config_of(ref)
    counted = count_parameters(config) if config else None
    return counted or _size_in_name(ref.name) or _size_in_name(ref.path.rstrip("/").rpartition("/")[2])


def count_parameters(config: Mapping[str, Any]) -> float | None:
    """The parameters of a decoder by its config.json, without norms and biases; None if the shape is not in it.

    In a mixture of experts only the experts that a token uses count, because only they cost operations.
    """
    config = {**config, **config.get("text_config", {})}
    # The second names are those of GPT-2 and its relatives.
    width = config.get("hidden_size") or config.get("n_embd")
    layers = config.get("num_hidden_layers") or config.get("n_layer")
    if not width or not layers or not config.get("vocab_size"):
        return None
    heads = config.get("num_attention_heads") or config.get("n_head") or 1
    size = config.get("head_dim") or width // heads
    attention = 2 * width * size * (heads + (config.get("num_key_value_heads") or heads))
    inner = config.get("moe_intermediate_size") or config.get("intermediate_size") or config.get("n_inner") or 4 * width
    # A gated feed-forward block (Llama and most models since) has three matrices, the older kind two.
    gated = "n_embd" not in config and config.get("model_type") not in ("gpt_neox", "opt", "phi")
    forward = (3 if gated else 2) * width * inner * (config.get("num_experts_per_tok") or 1)
    tied = config.get("tie_word_embeddings", "n_embd" in config)
    return float(layers * (attention + forward) + config["vocab_size"] * width * (1 if tied else 2))


def residual_width(ref: ModelRef) -> int | None:
    """The width of the residual stream; None if there is no config.json on this machine."""
    config = config_of(ref) or {}
    return config.get("hidden_size") or config.get("n_embd")


@lru_cache(maxsize=256)
def _size_in_name(name: str) -> float | None:
    """The last number with k, m or b in a name: 7e9 for `llama-2-7b`; None if there is none."""
    sizes = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([kmb])(?![a-z])", name.lower())
    return float(sizes[-1][0]) * SUFFIXES[sizes[-1][1]] if sizes else None
