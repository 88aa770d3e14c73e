"""One forward pass over texts, from which any number of pooled activations are read.

Texts are padded on the right and the model is causal: the activations of a text do not depend on the padding after it.
So no attention mask is needed, and PyTorch can use its fastest attention kernel. The pass leaves out the language-model
head, keeps no key-value cache, and stops inside the last block as soon as everything asked for is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from selbench.data.chat import Encoded
from selbench.errors import UserError, unknown
from selbench.features.architectures import blocks_of, part_of
from selbench.features.reducers import POOLINGS, POSITIONS, Pooling, mask_of
from selbench.placement import input_device

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

Capture = Literal["ffn_gate", "ffn_prod", "ffn_up_abs", "resid"]
CAPTURES = get_args(Capture)


@dataclass(frozen=True)
class Reading:
    """What to read from every text: the activations at one point of one block, pooled over some positions."""

    capture: str  # the point of the block, one of CAPTURES
    layer: int  # the 0-based number of the block
    positions: str  # the tokens that count, one of reducers.POSITIONS
    pooling: str  # how they become one vector, a key of reducers.POOLINGS


class _AllRead(Exception):
    """Raised inside the model when nothing further is needed from this batch."""


def check_reading(capture: str, positions: str, pooling: str) -> None:
    """Raise UserError if a capture, positions or pooling is not one of the valid names."""
    for what, value, valid in (
        ("capture", capture, CAPTURES),
        ("positions", positions, POSITIONS),
        ("pooling", pooling, get_args(Pooling)),
    ):
        if value not in valid:
            raise UserError(unknown(what, value, valid))


def batch_tokens(model: PreTrainedModel) -> int:
    """Tokens per batch, padding included: enough to keep a GPU busy, and on a CPU few enough to suit its cache."""
    return 4096 if input_device(model).type == "cpu" else 32768


def forward_flops(model: PreTrainedModel, tokens: int) -> float:
    """FLOPs of a forward pass: 2 x parameters x tokens (Kaplan et al. 2020, section 2.1), without head and embedding.

    All layers are counted, although a pass stops at the last one that is read.
    """
    decoder: Any = model.base_model
    embedded: int = decoder.get_input_embeddings().weight.numel()
    parameters: int = sum(p.numel() for p in decoder.parameters())
    return 2.0 * (parameters - embedded) * tokens


def read_activations(
    model: PreTrainedModel, texts: Sequence[Encoded], batches: Iterable[np.ndarray], readings: Sequence[Reading]
) -> Iterator[tuple[np.ndarray, dict[Reading, Tensor]]]:
    """Run the model over the batches, each given as B positions in `texts`.

    Yields for every batch the batch itself and, for each reading, a B x width float32 tensor on the CPU.
    """
    import torch

    points: dict[tuple[str, int], list[Reading]] = {}
    for reading in readings:
        points.setdefault((reading.capture, reading.layer), []).append(reading)
    state, device = _Batch(points), input_device(model)
    with _attached_hooks(model, state):
        for batch in batches:
            rows = [texts[i] for i in batch]
            ids = padded_ids(rows)
            state.begin(
                {p: torch.from_numpy(mask_of(rows, p, ids.shape[1])).to(device) for p in _distinct_positions(readings)}
            )
            with torch.inference_mode(), suppress(_AllRead):
                model.base_model(input_ids=torch.from_numpy(ids).to(device), use_cache=False)
            yield batch, state.pooled


class _Batch:
    """The activations read so far from the current batch."""

    def __init__(self, points: Mapping[tuple[str, int], list[Reading]]) -> None:
        self.points = points
        self.pooled: dict[Reading, Tensor] = {}
        self.masks: dict[str, Tensor] = {}
        self.left = 0

    def begin(self, masks: dict[str, Tensor]) -> None:
        self.pooled, self.masks, self.left = {}, masks, len(self.points)

    def take(self, point: tuple[str, int], values: Tensor) -> None:
        values = values.float()
        for reading in self.points[point]:
            # The blocks of a model may be on several devices.
            mask = self.masks[reading.positions].to(values.device)
            self.pooled[reading] = POOLINGS[reading.pooling](values, mask).cpu()
        self.left -= 1
        if not self.left:
            raise _AllRead


@contextmanager
def _attached_hooks(model: PreTrainedModel, state: _Batch) -> Iterator[None]:
    """Attach the hooks that hand activations to `state`; remove them on leaving the context."""
    blocks = blocks_of(model)
    handles = [
        _attach_hook(model, blocks[layer], capture, lambda v, p=(capture, layer): state.take(p, v))  # type: ignore[misc]
        for capture, layer in state.points
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attach_hook(model: PreTrainedModel, block: Module, capture: str, take: Callable[[Tensor], None]) -> Any:
    if capture == "resid":  # blocks of some families return a tuple, with the hidden states first
        return block.register_forward_hook(
            lambda _m, _i, output: take(output if hasattr(output, "shape") else output[0])
        )
    if capture == "ffn_gate":
        return part_of(model, block, "gate").register_forward_hook(lambda _m, _i, output: take(output))
    if capture == "ffn_up_abs":
        return part_of(model, block, "up").register_forward_hook(lambda _m, _i, output: take(output.abs()))
    return part_of(model, block, "down").register_forward_pre_hook(lambda _m, inputs: take(inputs[0]))


def _distinct_positions(readings: Sequence[Reading]) -> list[str]:
    return sorted({reading.positions for reading in readings})


def padded_ids(texts: Sequence[Encoded]) -> np.ndarray:
    """B x T token ids, padded on the right with the text's first token; any token would do, since the model is causal."""
    ids = np.zeros((len(texts), max([1, *(len(text.ids) for text in texts)])), np.int64)
    for row, text in zip(ids, texts):
        if len(text.ids):
            row[:] = text.ids[0]
            row[: len(text.ids)] = text.ids
    return ids
