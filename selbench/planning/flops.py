"""The cost of running a model, from its configuration alone: parameters and floating-point operations per token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from selbench.api import ModelRef
from selbench.models import config_of
from selbench.sizes import ModelShape

# Operations per parameter and token. Kaplan et al. 2020, arXiv 2001.08361, section 2.1: a forward pass takes two, the
# backward pass twice as many.
FORWARD, TRAINING = 2, 6
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}


def parameters(ref: ModelRef) -> float | None:
    """The number of parameters; None if neither a config.json, nor what is stated, nor the name tells.

    The config.json is that of a local folder, or of a hub model at its commit; else the stated shape counts, else a size
    in the name (`...-7b`). Nothing else is downloaded.
    """
    config = shape_of(ref)
    counted = count_parameters(config) if config else None
    return counted or _size_in_name(ref.name) or _size_in_name(ref.path.rstrip("/").rpartition("/")[2])


def shape_of(ref: ModelRef) -> dict[str, Any]:
    """The model's config.json where it is at hand, else what is stated of its shape; empty if there is neither."""
    return config_of(ref) or ref.stated.config(ref.path)


def rests_on_stated(ref: ModelRef) -> bool:
    """Whether the model's size is known only because its shape is stated."""
    return not config_of(ref) and bool(ref.stated.config(ref.path))


@dataclass(frozen=True)
class Decoder:
    """The shape of a decoder."""

    layers: int
    width: int
    inner: int  # width of the feed-forward block, in a mixture of experts that of one expert
    queries: int  # all heads together
    keys: int  # all key-value heads together; values have as many
    vocabulary: int
    gated: bool  # three matrices in a feed-forward block (Llama and most models since), not two
    tied: bool  # whether the embedding is the output head too
    experts: int = 1  # in memory
    used_experts: int = 1  # by one token

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Decoder | None:
        """By a config.json; None if the shape is not in it."""
        config = {**config, **(config.get("text_config") or {})}
        # The second names are those of GPT-2 and its relatives.
        width = config.get("hidden_size") or config.get("n_embd")
        layers = config.get("num_hidden_layers") or config.get("n_layer")
        if not width or not layers or not config.get("vocab_size"):
            return None
        heads = config.get("num_attention_heads") or config.get("n_head") or 1
        size = config.get("head_dim") or width // heads
        used = config.get("num_experts_per_tok") or 1
        return cls(
            layers=layers,
            width=width,
            inner=config.get("moe_intermediate_size")
            or config.get("intermediate_size")
            or config.get("n_inner")
            or 4 * width,
            queries=size * heads,
            keys=size * (config.get("num_key_value_heads") or heads),
            vocabulary=config["vocab_size"],
            gated="n_embd" not in config and config.get("model_type") not in ("gpt_neox", "opt", "phi"),
            tied=bool(config.get("tie_word_embeddings", "n_embd" in config)),
            experts=config.get("num_local_experts") or config.get("num_experts") or used,
            used_experts=used,
        )

    def parameters(self, experts: int) -> float:
        """Of the whole model with so many experts in each block, without norms and biases."""
        attention = 2 * self.width * (self.queries + self.keys)
        forward = (3 if self.gated else 2) * self.width * self.inner * experts
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        return float(self.layers * (attention + forward) + embeddings)


def count_parameters(config: Mapping[str, Any]) -> float | None:
    """The parameters of a decoder by its config.json, without norms and biases; None if the shape is not in it.

    In a mixture of experts only the experts that a token uses count, because only they cost operations.
    """
    decoder = Decoder.of(config)
    return decoder.parameters(decoder.used_experts) if decoder else None


def model_shape(ref: ModelRef) -> ModelShape | None:
    """The shape that features depend on; None if neither a config.json on this machine nor what is stated tells."""
    decoder = Decoder.of(shape_of(ref))
    return ModelShape(decoder.layers, decoder.width, decoder.inner) if decoder else None


@lru_cache(maxsize=256)
def _size_in_name(name: str) -> float | None:
    """The last number with k, m or b in a name: 7e9 for `llama-2-7b`; None if there is none."""
    sizes = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([kmb])(?![a-z])", name.lower())
    return float(sizes[-1][0]) * SUFFIXES[sizes[-1][1]] if sizes else None
