"""Training a TopK sparse autoencoder. Imports torch: import it inside functions.

The loss is the fraction of variance unexplained (FVU) plus the auxiliary loss of Gao et al. 2024 (arXiv 2406.04093), in
which the dead latents predict the error of the reconstruction. Decoder rows are kept at length 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from selbench.api import Context
from selbench.features.sae_model import Autoencoder, largest_activations, weighted_decoder_rows
from selbench.features.sae_recipe import Recipe

SAMPLE = 32_768  # tokens from which scale and centre are computed, as many as in OpenAI's trainer
AT_ONCE = 4096  # tokens encoded at once when the quality is measured


def train_autoencoder(
    batches: Iterator[Tensor], recipe: Recipe, generator: torch.Generator, device: Any, context: Context
) -> tuple[Autoencoder, Tensor]:
    """The trained autoencoder, and for each latent how many tokens ago it was last active (L integers).

    `batches` are T x d, float32. All random numbers come from `generator`, so they are the same on every device.
    """
    # The first batches are the sample for the initial state; they are then trained on like all others.
    first: list[Tensor] = []
    while sum(map(len, first)) < SAMPLE and len(first) < recipe.steps:
        first.append(next(batches))
    model = initial_autoencoder(torch.cat(first)[:SAMPLE], recipe, generator, device)
    silent = torch.zeros(recipe.latents, dtype=torch.int64, device=device)
    for parameter in model.parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(model.parameters, lr=recipe.learning_rate)
    stream = itertools.chain(first, batches)
    for step in context.progress(range(recipe.steps), "sparse autoencoder"):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate_factor(step, recipe.steps, recipe.warmup)
        scaled = next(stream).to(device) * model.scale
        loss, fired = training_loss(model, scaled, silent >= recipe.dead_after, recipe.auxk)
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            _drop_parallel_gradient(model.W_dec)
            optimizer.step()
            model.W_dec /= model.W_dec.norm(dim=1, keepdim=True)
            silent += len(scaled)
            silent[fired] = 0
    for parameter in model.parameters:
        parameter.requires_grad_(False)
    return model, silent


def initial_autoencoder(sample: Tensor, recipe: Recipe, generator: torch.Generator, device: Any) -> Autoencoder:
    """The autoencoder before training, for inputs like `sample` (T x d).

    The encoder is drawn as PyTorch draws a linear layer; the decoder is its copy with rows of length 1; b_dec is the
    geometric median of the sample. The scale gives the inputs a mean squared length of d.
    """
    width = sample.shape[1]
    scale = float((width / sample.double().pow(2).sum(1).mean().clamp_min(1e-30)).sqrt())
    encoder = (torch.rand(recipe.latents, width, generator=generator) * 2 - 1) * width**-0.5
    return Autoencoder(
        W_enc=encoder.to(device),
        b_enc=torch.zeros(recipe.latents, device=device),
        W_dec=(encoder / encoder.norm(dim=1, keepdim=True)).to(device),
        b_dec=geometric_median(sample * scale).to(device),
        k=recipe.k,
        scale=scale,
    )


def geometric_median(points: Tensor, rounds: int = 20) -> Tensor:
    """The point with the least sum of distances to `points` (T x d), by Weiszfeld's iteration from the mean."""
    middle = points.mean(0)
    for _ in range(rounds):
        weight = 1 / (points - middle).norm(dim=1, keepdim=True).clamp_min(1e-6)
        middle = (points * weight).sum(0) / weight.sum()
    return middle


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """The factor of the learning rate at `step`: it rises to 1 in `warmup` steps, then falls linearly to 0."""
    return min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1), 1.0)


def training_loss(model: Autoencoder, scaled: Tensor, dead: Tensor, auxk: float) -> tuple[Tensor, Tensor]:
    """The loss of a batch (T x d, scaled), and the numbers of the latents that were active, with repetitions.

    `dead` (L booleans) says which latents take part in the auxiliary loss.
    """
    potentials = model.potentials(scaled)
    values, latents = largest_activations(potentials, model.k)
    error = scaled - model.decode(values, latents)
    variance = (scaled - scaled.mean(0)).pow(2).sum().clamp_min(1e-12)
    loss = error.pow(2).sum() / variance
    asleep = dead.nonzero()[:, 0]
    if auxk and len(asleep):
        wanted = scaled.shape[1] // 2
        aux_values, places = largest_activations(potentials[:, asleep], min(wanted, len(asleep)))
        # The error is a fixed target (detached): the dead latents learn it, and the living ones do not adapt to them.
        rest = error.detach() - weighted_decoder_rows(aux_values, asleep[places], model.W_dec)
        loss = loss + auxk * min(len(asleep) / wanted, 1.0) * rest.pow(2).sum() / variance
    return loss, latents[values > 0]


def _drop_parallel_gradient(W_dec: Tensor) -> None:
    """Remove the part of the gradient along each decoder row, which would only change a length that is reset to 1."""
    assert W_dec.grad is not None
    W_dec.grad -= (W_dec.grad * W_dec).sum(1, keepdim=True) * W_dec


@torch.no_grad()
def reconstruction_quality(model: Autoencoder, tokens: Tensor) -> tuple[float, float]:
    """FVU and L0 (the mean number of active latents per token) on unscaled tokens (T x d)."""
    error, active = 0.0, 0
    for part in tokens.split(AT_ONCE):
        scaled = part.to(model.W_enc.device) * model.scale
        values, latents = largest_activations(model.potentials(scaled), model.k)
        error += float((scaled - model.decode(values, latents)).double().pow(2).sum())
        active += int((values > 0).sum())
    centred = (tokens.double() - tokens.double().mean(0)) * model.scale
    return error / max(float(centred.pow(2).sum()), 1e-12), active / len(tokens)
