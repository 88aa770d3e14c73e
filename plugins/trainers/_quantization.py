"""Weights of 4 bits under a LoRA adapter (QLoRA), and what they require."""

from __future__ import annotations

import importlib.util
from typing import Any

from selbench.api import ModelRef, UserError
from selbench.errors import NotAtHand
from selbench.placement import gpu_is_here


def bits_and_bytes(quantization: str) -> Any:
    """transformers' configuration of the quantization; None for "none".

    NF4 with quantized constants, as in Dettmers et al. 2023 (QLoRA, arXiv 2305.14314), sections 3 and 4.
    """
    if quantization == "none":
        return None
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def require_quantization(options: Any, model: ModelRef) -> None:
    """Raises UserError where the quantization or the optimizer that `options` ask for cannot work here.

    `options` are those of the trainer `trl`.
    """
    asked = [
        f"trainer.{name}={value}"
        for name, value, plain in (
            ("quantization", options.quantization, "none"),
            ("optimizer", options.optimizer, "adamw"),
        )
        if value != plain
    ]
    if not asked:
        return
    what = " and ".join(asked)
    if options.quantization != "none":
        if not options.lora_rank:
            raise UserError(
                f"trainer.quantization={options.quantization}: weights of 4 bits are not trained themselves; train an "
                "adapter on them with trainer.lora_rank=16, or set trainer.quantization=none."
            )
        if options.precision == "float32":
            raise UserError(
                f"trainer.quantization={options.quantization} computes in bfloat16: trainer.precision=float32 cannot be had. "
                "Valid with it: auto, mixed, bfloat16."
            )
        if model.adapter:
            raise UserError(
                f"trainer.quantization={options.quantization}: model '{model.name}' has an adapter ({model.adapter}), which "
                "would be merged into weights of 4 bits: merge it into the model first."
            )
    if not gpu_is_here():
        raise NotAtHand(f"{what} requires a GPU of NVIDIA's, and there is none here: use trainer=lora.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise NotAtHand(f"{what} requires the package bitsandbytes: pip install bitsandbytes")
