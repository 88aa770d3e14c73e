"""The TopK sparse autoencoder as tensors. Imports torch: import it inside functions.

z = TopK(ReLU(W_enc (s x - b_dec) + b_enc)) and x' = (W_dec^T z + b_dec) / s, with s the scale of the inputs. After
Gao et al. 2024 (arXiv 2406.04093) and EleutherAI's sparsify, whose settings arXiv 2502.14050 appears to use.
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
    """W_enc and W_dec are L x d (a latent's direction is a row), b_enc has L numbers, b_dec d.

    `k` is 0 where the autoencoder is not of the TopK kind: then every positive activation counts.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int
    scale: float = 1.0

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], device: Any = "cpu") -> Autoencoder:
        """From the arrays of a SparseAutoencoder feature or of a published autoencoder."""
        weights = {name: torch.from_numpy(np.array(arrays[name], np.float32)).to(device) for name in WEIGHTS}
        return cls(**weights, k=int(arrays["k"]), scale=float(arrays["scale"]))

    def arrays(self) -> dict[str, np.ndarray]:
        """The inverse of `of`."""
        weights = {name: getattr(self, name).detach().cpu().numpy() for name in WEIGHTS}
        return {**weights, "k": np.array(self.k), "scale": np.array(self.scale)}

    @property
    def parameters(self) -> list[Tensor]:
        return [getattr(self, name) for name in WEIGHTS]

    def potentials(self, scaled: Tensor) -> Tensor:
        """T x L: W_enc (x - b_dec) + b_enc of inputs that are already scaled. Their positive part is the activation."""
        # b_dec is moved into the bias, so that its gradient needs no T x L x d product.
        return torch.addmm(self.b_enc - self.W_enc @ self.b_dec, scaled, self.W_enc.T)

    def highest_potentials(self, scaled: Tensor, counts: Sequence[int]) -> Tensor:
        """R x L: the highest potential of each latent in each of R texts; their tokens, `counts` of each, are `scaled`.

        Some tokens at a time, whose potentials stay in the cache: nothing T x L is written to memory.
        """
        bias = self.b_enc - self.W_enc @ self.b_dec
        rows = []
        for text in scaled.split(list(counts)):
            parts = [torch.mm(part, self.W_enc.T).amax(0) for part in text.split(AT_ONCE)]
            rows.append(torch.stack(parts).amax(0))
        return torch.stack(rows) + bias

    def decode(self, values: Tensor, latents: Tensor) -> Tensor:
        """T x d, scaled, from T x k activations and the numbers of their latents."""
        return weighted_decoder_rows(values, latents, self.W_dec) + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """T x d: the inputs (T x d, unscaled) through the bottleneck of k latents."""
        values, latents = largest_activations(self.potentials(x * self.scale), self.k or len(self.W_enc))
        return self.decode(values, latents) / self.scale


AT_ONCE = 128  # tokens whose potentials are held: 2 MB for 4,608 latents
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")


def largest_activations(potentials: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """T x k activations and the numbers of their latents: TopK and ReLU commute, and ReLU of k values costs nothing."""
    values, latents = potentials.topk(k, sorted=False)
    return values.relu(), latents


class _WeightedDecoderRows(torch.autograd.Function):
    """Sum of k decoder rows per token. Its gradient as two dense products is three times faster than embedding_bag's."""

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
    """Sum over k of values[t, k] * W_dec[latents[t, k]]: T x d."""
    decode_rows: Any = _WeightedDecoderRows.apply  # PyTorch leaves it untyped
    decoded: Tensor = decode_rows(values, latents, W_dec)
    return decoded
