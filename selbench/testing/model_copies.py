"""What checks of trainers and suites need of models: copies with other weights, and the loss of one on examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selbench.api import Example, ModelRef
from selbench.data.chat import encode
from selbench.libraries import quiet
from selbench.models import load_model, load_tokenizer

EXAMPLES = 4  # whose outputs are compared
NOISE = 0.05  # standard deviation, as a share of that of each weight matrix


def disturbed_model(ref: ModelRef, folder: Path) -> ModelRef:
    """A copy of a model in `folder`, with some noise on every weight, so that its answers are others."""
    import torch

    with quiet():
        network, tokenizer = load_model(ref, device="cpu"), load_tokenizer(ref)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in network.parameters():
                noise = torch.randn(weight.shape, generator=generator, dtype=torch.float32)
                weight.add_((NOISE * noise * weight.float().std(correction=0)).to(weight.dtype))
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return dataclasses.replace(ref, path=str(folder), revision=None, adapter=None)


def outputs(ref: ModelRef, examples: Sequence[Example]) -> list[np.ndarray]:
    """The logits (tokens x vocabulary) of the model over the first few examples."""
    import torch

    with quiet(), torch.inference_mode():
        network = load_model(ref)
        found = encode(examples[:EXAMPLES], load_tokenizer(ref), max_length=ref.max_length)
        rows = [torch.as_tensor(row.ids, device=network.device) for row in found if len(row.ids)]
        return [network(input_ids=row[None], use_cache=False).logits[0].float().cpu().numpy() for row in rows]


def apart(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """The largest difference between two models' `outputs`, as a share of the largest logit; infinite for other shapes."""
    if [row.shape for row in one] != [row.shape for row in other]:
        return float("inf")
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other)):
        return 0.0
    most = max(float(np.abs(row).max()) for row in one)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other)) / (most or 1.0)


def response_loss(ref: ModelRef, examples: Sequence[Example], longest: int) -> float:
    """The mean negative log-likelihood in nats of the examples' response tokens among their first `longest` tokens."""
    import torch
    from torch.nn.functional import cross_entropy

    with quiet(), torch.inference_mode():
        network = load_model(ref)
        losses = []
        for row in encode(examples, load_tokenizer(ref), max_length=longest):
            learnt = np.flatnonzero(row.in_loss)
            learnt = learnt[learnt > 0]
            if not len(learnt):
                continue
            ids = torch.as_tensor(row.ids, device=network.device)
            logits = network(input_ids=ids[None], use_cache=False).logits[0].float()
            losses.append(cross_entropy(logits[learnt - 1], ids[learnt], reduction="none").cpu().numpy())
    return float(np.concatenate(losses).mean()) if losses else 0.0
