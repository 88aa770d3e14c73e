"""The modules of a decoder that are read: one entry per model family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selbench.errors import UserError

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Architecture:
    """Module paths of the blocks and of the feed-forward network in a block, h = down(act(gate(x)) * up(x)).

    A network without a gate, h = down(act(up(x))), names its activation function as `gate`; its captures ffn_gate and
    ffn_prod are then equal.
    """

    blocks: str  # the list of blocks, relative to the decoder without its head (model.base_model)
    gate: str  # the activation function, whose output is act(gate(x)); this and the next two are relative to a block
    up: str  # the up projection, whose output is up(x)
    down: str  # the down projection, whose input is the product of the two


LLAMA = Architecture("layers", "mlp.act_fn", "mlp.up_proj", "mlp.down_proj")

# The key is `model_type` of the model's configuration. Every entry is tested on a small random model of its family.
ARCHITECTURES: dict[str, Architecture] = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "gemma3_text": LLAMA,
    "gpt2": Architecture("h", "mlp.act", "mlp.c_fc", "mlp.c_proj"),
    "gpt_neox": Architecture("layers", "mlp.act", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
}


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The entry of the model's family. Raises UserError, which says what to declare, for a family without an entry."""
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        raise UserError(
            f"no activations from a model of type '{kind}': selbench knows {', '.join(sorted(ARCHITECTURES))}. Declare "
            f"where its parts are with selbench.features.architectures.ARCHITECTURES['{kind}'] = Architecture("
            f"blocks=..., gate=..., up=..., down=...): module paths, of the list of blocks in model.base_model and, in "
            f"one block, of the activation function, the up projection and the down projection."
        )
    return ARCHITECTURES[kind]


def blocks_of(model: PreTrainedModel) -> list[Module]:
    """The decoder blocks, first to last. Raises UserError if the family's entry does not fit the model."""
    blocks: Any = _submodule(model.base_model, architecture_of(model).blocks, model)
    return list(blocks)


def part_of(model: PreTrainedModel, block: Module, part: str) -> Module:
    """The module of a block that `part` ("gate", "up" or "down") names. Raises UserError as blocks_of does."""
    return _submodule(block, getattr(architecture_of(model), part), model)


def _submodule(root: Module, path: str, model: PreTrainedModel) -> Module:
    try:
        return root.get_submodule(path)
    except AttributeError as error:
        raise UserError(
            f"a model of type '{model.config.model_type}' should have '{path}' in {type(root).__name__}, but has not: "
            f"correct its entry in selbench.features.architectures.ARCHITECTURES."
        ) from error
