"""How an autoencoder is trained: its size and the settings of its training. Imports no torch, so that a plan may ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Size and training of an autoencoder, with every default filled in."""

    latents: int
    k: int  # active latents per token
    steps: int
    learning_rate: float  # at its peak
    warmup: int  # steps
    auxk: float  # weight of the auxiliary loss
    dead_after: int  # a latent is dead once it was silent for this many tokens


def sparsify_learning_rate(latents: int) -> float:
    """2e-4 / sqrt(latents / 2^14), the rule of sparsify.

    For 131,072 latents it gives 7.07e-5, the rate that arXiv 2502.14050 reports.
    """
    rate: float = 2e-4 / (latents / 2**14) ** 0.5
    return rate
