"""The memory that a fine-tuning takes on its device, by the shape of the model and the options of its trainer.

Weights, gradients and optimiser are counted exactly: bytes per parameter, as in Rajbhandari et al. 2020 (ZeRO, arXiv
1910.02054), section 3.1. Activations are those that PyTorch keeps for the backward pass of a Llama block with fused
attention, counted tensor by tensor as Korthikanti et al. 2022 (arXiv 2205.05198), section 4, do for GPT blocks; the
count for a Llama block is ours, and so is that of the adapters. Measured against it: docs/planning.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selbench.api import ModelRef
from selbench.planning.flops import Decoder, shape_of

# What a process holds besides: libraries and their work space; on a GPU the CUDA context.
PROCESS_BYTES = 1e9
# The share of a device that may be planned with: allocators keep some free blocks that fit nothing.
USABLE = 0.95
OPTIMISER = 2  # AdamW keeps two numbers per parameter that is trained
# Bytes of a weight in NF4 with double quantization: 4 bits, an 8-bit constant for each 64 weights, and a float32 constant for
# each 256 of those (Dettmers et al. 2023, arXiv 2305.14314, section 3): 4 + 8 / 64 + 32 / (64 * 256) bits.
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
# Whether each way of dividing a model divides its weights, gradients and optimiser (Rajbhandari et al., section 5).
DIVIDED = {
    "deepspeed_zero1": (False, False, True),
    "deepspeed_zero2": (False, True, True),
    "deepspeed_zero3": (True, True, True),
    "fsdp": (True, True, True),
}


@dataclass(frozen=True)
class TrainingMemory:
    """The bytes that each process of a fine-tuning holds at its peak, and how many processes share a device."""

    weights: float
    gradients: float
    optimiser: float
    row: float  # activations of one row of the micro-batch
    micro_batch: int  # rows
    tokens: int  # of a row
    processes: int = 1
    on_device: int = 1  # processes that share the memory of one device: all of them on a CPU, one on a GPU

    @property
    def activations(self) -> float:
        return self.row * self.micro_batch

    @property
    def fixed(self) -> float:
        """What the micro-batch does not change."""
        return self.weights + self.gradients + self.optimiser + PROCESS_BYTES

    @property
    def total(self) -> float:
        return self.fixed + self.activations

    def largest_micro_batch(self, device: float) -> int:
        """The largest number of rows with which it fits on a device of so many bytes; 0 if none does."""
        return max(0, int((USABLE * device / self.on_device - self.fixed) // self.row))

    def fits(self, device: float) -> bool:
        return self.micro_batch <= self.largest_micro_batch(device)


def training_memory(trainer: Any, model: ModelRef, tokens: int, gpu: bool) -> TrainingMemory | None:
    """The memory of a fine-tuning whose longest row has so many tokens.

    None if the model's shape is not known, or if the trainer does not say how it trains by the options `micro_batch_size`
    and `precision` (and `lora_rank`, `lora_dropout`, `gradient_checkpointing`, `quantization`, `processes`, and the property
    `divided_by`, which mean what they do in `trl`).
    """
    decoder = Decoder.of(shape_of(model))
    if decoder is None or not hasattr(trainer, "micro_batch_size") or not hasattr(trainer, "precision"):
        return None
    rank, processes = int(getattr(trainer, "lora_rank", 0)), int(getattr(trainer, "processes", 1))
    nf4 = getattr(trainer, "quantization", "none") == "nf4"
    # Weights of 4 bits are computed with in bfloat16, and TRL keeps an adapter on them in bfloat16 too.
    bytes_of = _Bytes(2, 2, 2) if nf4 else _Bytes.of(trainer.precision, model.dtype, bool(rank), gpu)
    parameters = decoder.parameters(decoder.experts)
    trained = rank * _adapter_width(decoder) * decoder.layers if rank else parameters
    frozen = bytes_of.weight * parameters - (2 - NF4) * _quantized(decoder) * nf4
    parts = [processes if divided else 1 for divided in DIVIDED.get(getattr(trainer, "divided_by", ""), (False,) * 3)]
    batch = -(-int(getattr(trainer, "batch_size", trainer.micro_batch_size)) // processes)
    return TrainingMemory(
        weights=(frozen + (bytes_of.trained * trained if rank else 0)) / parts[0],
        gradients=bytes_of.trained * trained / parts[1],
        optimiser=OPTIMISER * bytes_of.trained * trained / parts[2],
        row=float(tokens) * _row_bytes_per_token(decoder, trainer, bytes_of, gpu),
        micro_batch=min(int(trainer.micro_batch_size), batch),
        tokens=tokens,
        processes=processes,
        on_device=1 if gpu else processes,
    )


def _quantized(decoder: Decoder) -> int:
    """The weights of the linear layers of all blocks, which are those that bitsandbytes quantizes: not embedding and head."""
    attention = 2 * decoder.width * decoder.queries + 2 * decoder.width * decoder.keys
    forward = (3 if decoder.gated else 2) * decoder.width * decoder.inner * decoder.experts
    return decoder.layers * (attention + forward)


def reading_bytes(model: ModelRef) -> float | None:
    """The bytes of a model that is only read: evaluated, or a scorer. Without activations.

    None if its shape is not known, and for one that is on a server.
    """
    decoder = None if model.url else Decoder.of(shape_of(model))
    size = 4.0 if model.dtype == "float32" else 2.0
    return size * decoder.parameters(decoder.experts) + PROCESS_BYTES if decoder else None


@dataclass(frozen=True)
class _Bytes:
    """Bytes per number."""

    weight: float  # of the model, with the copies that mixed precision makes for the arithmetic
    trained: float  # of a parameter that is trained; its gradient and the optimiser's numbers are of the same type
    activation: float

    @classmethod
    def of(cls, precision: str, dtype: str, adapter: bool, gpu: bool) -> _Bytes:
        """By the rules of the trainer `trl`: mixed precision is float32 on a CPU; an adapter is float32."""
        chosen = precision
        if precision == "auto":
            chosen = "float32" if dtype == "float32" else "mixed"
        if chosen == "bfloat16":
            return cls(weight=2, trained=4 if adapter else 2, activation=2)
        if chosen == "mixed" and gpu:
            # Frozen weights are bfloat16 as they are, others float32 with a copy in bfloat16.
            return cls(weight=2 if adapter and precision == "auto" else 6, trained=4, activation=2)
        return cls(weight=4, trained=4, activation=4)


def _adapter_width(decoder: Decoder) -> int:
    """The sum of inputs and outputs of the linear layers of a block, which is what one rank of an adapter has parameters for."""
    attention = 4 * decoder.width + 2 * decoder.queries + 2 * decoder.keys
    return attention + (3 if decoder.gated else 2) * (decoder.width + decoder.inner)


def _row_bytes_per_token(decoder: Decoder, trainer: Any, bytes_of: _Bytes, gpu: bool) -> float:
    size, adapter = bytes_of.activation, getattr(trainer, "lora_rank", 0) > 0
    # Two norms with a float32 copy of their input, the normed values, and the input of the layers that follow; queries, keys and
    # values, before and after their rotation, and what attention gives; four vectors of the feed-forward block.
    block = size * (4 * decoder.width + 3 * decoder.queries + 3 * decoder.keys + 4 * decoder.inner) + 8 * decoder.width
    if adapter:
        # Each layer with an adapter reads its input once more, as float32, and with dropout keeps that and a mask.
        inputs = 5 * decoder.width + decoder.queries + decoder.inner
        block += inputs * (4 + (5 if getattr(trainer, "lora_dropout", 0.0) else 0))
    checkpointed = bool(getattr(trainer, "gradient_checkpointing", False))
    # With checkpointing only the inputs of the blocks are kept, and one block at a time is computed again.
    kept = size * decoder.width * decoder.layers + block if checkpointed else block * decoder.layers
    # The logits, their softmax and its gradient, as float32. On a GPU the head is fused and never stores them.
    return kept + (0 if gpu else 12.0 * decoder.vocabulary)
