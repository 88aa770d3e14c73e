"""The TopK sparse autoencoder as tensors. Imports torch: import it inside functions.

An input x is encoded as z = TopK(ReLU(W_enc (s x - b_dec) + b_enc)) and decoded as x' = (W_dec^T z + b_dec) / s; s is the
scale of the inputs, which training chooses such that their mean squared length is d. After Gao et al. 2024 (arXiv
2406.04093) and EleutherAI's sparsify, whose settings arXiv 2502.14050 appears to use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


@dataclass(eq=False)
class Autoencoder:
    """The weights for width d and L latents; a latent's direction is a row of W_dec."""

    W_enc: Tensor  # L x d
    b_enc: Tensor  # L
    W_dec: Tensor  # L x d
    b_dec: Tensor  # d
    k: int  # active latents per token; 0: not a TopK autoencoder, every positive activation counts
    scale: float = 1.0  # factor of the inputs before they are encoded
    jump: Tensor | None = None  # L, of a JumpReLU: activations up to this are 0; None: a ReLU

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], device: Any = "cpu") -> Autoencoder:
        """The autoencoder from the arrays of a SparseAutoencoder or PublishedAutoencoder feature."""
        weights = {name: torch.from_numpy(np.array(arrays[name], np.float32)).to(device) for name in WEIGHTS}
        jump = torch.from_numpy(np.array(arrays["jump"], np.float32)).to(device) if "jump" in arrays else None
        return cls(**weights, k=int(arrays["k"]), scale=float(arrays["scale"]), jump=jump)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights, `k` and `scale` as NumPy arrays, from which `of` makes the autoencoder again."""
        weights = {name: getattr(self, name).detach().cpu().numpy() for name in WEIGHTS}
        return {**weights, "k": np.array(self.k), "scale": np.array(self.scale)}

    @property
    def parameters(self) -> list[Tensor]:
        """The four weights, in the order of WEIGHTS."""
        return [getattr(self, name) for name in WEIGHTS]

    def potentials(self, scaled: Tensor) -> Tensor:
        """T x L: W_enc (x - b_dec) + b_enc for inputs x (T x d) that are already scaled. The positive part is the activation."""
        # b_dec is folded into the bias: its gradient is then W_enc times L numbers, not a T x L x d product.
        return torch.addmm(self.b_enc - self.W_enc @ self.b_dec, scaled, self.W_enc.T)

    def highest_potentials(self, scaled: Tensor, counts: Sequence[int]) -> Tensor:
        """R x L: the highest potential of each latent in each of R texts.

        `scaled` (T x d) holds the tokens of all texts, one text after the other; `counts` says how many each text has.
        """
        # A few tokens at a time, whose potentials stay in the processor's cache: no T x L array is written to memory.
        bias = self.b_enc - self.W_enc @ self.b_dec
        rows = []
        for text in scaled.split(list(counts)):
            parts = [torch.mm(part, self.W_enc.T).amax(0) for part in text.split(AT_ONCE)]
            rows.append(torch.stack(parts).amax(0))
        return torch.stack(rows) + bias

    def activated(self, potentials: Tensor) -> Tensor:
        """The activations of potentials (T x L), in place, before any TopK. They keep the order of a latent's potentials."""
        if self.jump is not None:
            potentials[potentials <= self.jump] = 0
        return potentials.relu_()

    def decode(self, values: Tensor, latents: Tensor) -> Tensor:
        """T x d scaled reconstructions from T x k activations and the numbers of their latents."""
        return weighted_decoder_rows(values, latents, self.W_dec) + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """T x d: the reconstructions of unscaled inputs (T x d) from their k most active latents."""
        active = self.activated(self.potentials(x * self.scale))
        values, latents = largest_activations(active, self.k or len(self.W_enc))
        return self.decode(values, latents) / self.scale


AT_ONCE = 128  # tokens whose potentials are computed at once: 2 MB for 4,608 latents
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def largest_activations(potentials: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest activations of each token and the numbers of their latents, both T x k, in no particular order."""
    # TopK and ReLU commute; applied last, ReLU is needed for k values per token only.
    values, latents = potentials.topk(k, sorted=False)
    return values.relu(), latents


class _WeightedDecoderRows(torch.autograd.Function):
    """Sum of k decoder rows per token, with a gradient of two dense products: three times faster than embedding_bag's."""

    @staticmethod
    def forward(context: Any, values: Tensor, latents: Tensor, W_dec: Tensor) -> Tensor:
        context.save_for_backward(values, latents, W_dec)
        return embedding_bag(latents, W_dec, per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor]:
        values, latents, W_dec = context.saved_tensors
        (upper,) = gradients
        dense = values.new_zeros(len(values), len(W_dec)).scatter_(1, latents, values)
        return (upper @ W_dec.T).gather(1, latents), None, dense.T @ upper


def weighted_decoder_rows(values: Tensor, latents: Tensor, W_dec: Tensor) -> Tensor:
    """T x d: the sum over j of values[t, j] * W_dec[latents[t, j]], for T x k values and latents."""
    decode_rows: Any = _WeightedDecoderRows.apply  # PyTorch leaves it untyped
    decoded: Tensor = decode_rows(values, latents, W_dec)
    return decoded
