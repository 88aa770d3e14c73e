"""Instruction-following difficulty: how much a prompt helps to predict its response."""

from __future__ import annotations

import numpy as np

from selbench.api import Context, Feature
from selbench.features.losses import ResponseLosses, mean_loss


def loss_ratio(conditioned: np.ndarray, direct: np.ndarray) -> np.ndarray:
    """Mean losses given the prompt by those without it: N numbers from N and N; NaN where either is, or both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: np.ndarray = conditioned / direct
    return ratio


def perplexity_ratio(conditioned: np.ndarray, direct: np.ndarray) -> np.ndarray:
    """Perplexities exp(loss) given the prompt by those without it: N numbers from N and N mean losses."""
    with np.errstate(over="ignore", invalid="ignore"):
        ratio: np.ndarray = np.exp(conditioned - direct)
    return ratio


def mean_losses(
    conditioned: ResponseLosses, direct: ResponseLosses, context: Context
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The mean losses of the responses given their prompts and without them, and which examples have no valid pair.

    These are N numbers, N numbers, and a reason with N booleans for each.
    """
    with_prompt: Feature = context.features(conditioned)
    alone: Feature = context.features(direct)
    invalid = {
        "response cut": with_prompt["cut"],
        "no response": with_prompt["response_tokens"] == 0,
        "no loss of the response alone": alone["response_tokens"] == 0,
    }
    return mean_loss(with_prompt), mean_loss(alone), invalid
