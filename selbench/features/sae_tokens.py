"""Activations of single tokens: one row per counted token of a text, not pooled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from selbench.data.chat import PROMPT, RESPONSE, Encoded
from selbench.errors import UserError, unknown
from selbench.features.forward import Reading, batch_tokens, read_activations
from selbench.features.layers import resolve_layers
from selbench.features.reducers import POOLINGS
from selbench.features.texts import CALIBRATION, Texts

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# A pooling that does not pool: from B x T x W and the mask, one row per counted token, one text after the other.
TOKENS = "tokens"
POOLINGS[TOKENS] = lambda values, mask: values[mask]

CountedPositions = Literal["prompt", "response", "all"]
COUNTED: dict[str, tuple[int, ...]] = {"prompt": (PROMPT,), "response": (RESPONSE,), "all": (PROMPT, RESPONSE)}


def resolve_layer(layer: str, depth: int) -> int:
    """The 0-based number of the block that `layer` names in a decoder of `depth` blocks.

    Valid are a share of the depth such as 2/3 (block floor(2/3 x depth)), last, middle, or a number. Raises UserError
    for anything else, and for several layers.
    """
    try:
        above, below = (int(part) for part in layer.split("/"))
        share = above / below
    except (ValueError, ZeroDivisionError):
        found = resolve_layers(layer, depth)
        if len(found) != 1:
            raise UserError(
                f"layer='{layer}': an autoencoder reads one layer. Valid: 2/3, last, middle, or a number."
            ) from None
        return found[0]
    if not 0 <= share <= 1:
        raise UserError(f"layer='{layer}' is not a share of the depth: valid 0/1 to 1/1.")
    return min(above * depth // below, depth - 1)


def reading_of(layer: int, positions: str) -> Reading:
    """The reading of the residual stream after block `layer`, token by token."""
    return Reading("resid", layer, positions, TOKENS)


def check_positions(positions: str) -> None:
    """Raise UserError unless `positions` is prompt, response or all, which leave out the BOS and the template."""
    if positions not in COUNTED:
        raise UserError(unknown("positions", positions, COUNTED))


def token_counts(texts: Sequence[Encoded], positions: str) -> np.ndarray:
    """How many tokens of each text count: one integer per text.

    A text of which none counts is still read at one template token, because pooled features need a value
    (reducers.positions_of). An autoencoder must not see that token.
    """
    return np.array([int(np.isin(text.roles, COUNTED[positions]).sum()) for text in texts], np.int64)


class TokenStream:
    """The activations of the counted tokens of many texts, in random order and over any number of rounds."""

    def __init__(
        self,
        model: PreTrainedModel,
        texts: Sequence[Encoded],
        layer: int,
        positions: str,
        *,
        rng: np.random.Generator,
    ) -> None:
        counts = token_counts(texts, positions)
        self.texts = [text for text, count in zip(texts, counts) if count]
        self.available = int(counts.sum())
        self.model, self.reading, self.rng = model, reading_of(layer, positions), rng

    def read(self, order: np.ndarray) -> Iterator[Tensor]:
        """The tokens (T x d, float32) of the texts at these positions, some texts at a time.

        The order is kept from one group of CALIBRATION texts to the next; within a group texts are sorted by length.
        """
        for start in range(0, len(order), CALIBRATION):
            part = Texts([self.texts[i] for i in order[start : start + CALIBRATION]], np.arange(0))
            batches = part.batches(batch_tokens(self.model))
            for _, pooled in read_activations(self.model, part.distinct, batches, [self.reading]):
                yield pooled[self.reading]

    def batches(self, size: int, capacity: int) -> Iterator[Tensor]:
        """Endless batches of `size` tokens (size x d, float32), while about `capacity` tokens are held in memory.

        If all tokens fit, the scorer reads every text once, and each round over the tokens is a new permutation.
        Otherwise texts are read in random order into a buffer; a random half of it is handed out, and the buffer is
        filled again. So no batch consists of the tokens of a few texts only.
        """
        return (
            self._batches_of_held_tokens(size)
            if self.available <= capacity
            else self._batches_through_buffer(size, capacity)
        )

    def _batches_of_held_tokens(self, size: int) -> Iterator[Tensor]:
        import torch

        held = torch.cat(list(self.read(np.arange(len(self.texts)))))
        while True:
            yield from _whole_batches(held, self.rng.permutation(len(held)), size)

    def _batches_through_buffer(self, size: int, capacity: int) -> Iterator[Tensor]:
        import torch

        rounds = (self.read(self.rng.permutation(len(self.texts))) for _ in itertools.count())
        source = itertools.chain.from_iterable(rounds)
        parts: list[Tensor] = []
        while True:
            while sum(map(len, parts)) < capacity:
                parts.append(next(source))
            held = torch.cat(parts)
            order = self.rng.permutation(len(held))
            out = max(len(held) // 2 // size, 1) * size
            yield from _whole_batches(held, order[:out], size)
            parts = [held[torch.from_numpy(order[out:])]]


def _whole_batches(held: Tensor, order: np.ndarray, size: int) -> Iterator[Tensor]:
    """The rows at `order` in batches of `size`; a remainder smaller than that is left out."""
    import torch

    for start in range(0, len(order) - size + 1, size):
        yield held[torch.from_numpy(order[start : start + size])]
