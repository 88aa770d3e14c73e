"""Activations of a random Llama of 15 million parameters (width 288, 6 layers, 32,000 tokens), 600 rows of 16 to 512.

Ours against a forward pass with head and all hidden states, one text at a time and in unsorted batches of 16, and
against the bare decoder pass over the very same batches. Tokenisation is not in it: the texts are random tokens.
"""

from __future__ import annotations

import resource
import sys

import numpy as np
import torch
from side_by_side import arguments, compare
from transformers import LlamaConfig, LlamaForCausalLM

from selbench.api import Context, ModelRef
from selbench.data.chat import PROMPT, TEMPLATE, Encoded
from selbench.features.activations import ActivationTags, PooledActivations
from selbench.features.forward import batch_tokens, padded_ids, read_activations
from selbench.features.sae import SparseAutoencoder
from selbench.features.sae_model import Autoencoder
from selbench.features.sae_tags import BoundTags, SaeTags
from selbench.features.texts import Texts

LAYERS, WIDTH = 6, 288


def made_texts(rows: int, longest: int) -> Texts:
    rng = np.random.default_rng(0)
    texts = []
    for length in rng.integers(16, longest + 1, rows):
        roles = np.full(length, PROMPT, np.uint8)
        roles[0] = TEMPLATE
        texts.append(Encoded(rng.integers(3, 32000, length), roles))
    return Texts(texts, np.arange(rows))


def made_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=WIDTH,
        intermediate_size=768,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
    )
    return LlamaForCausalLM(config).eval()


def sae_tags() -> BoundTags:
    """Tags of a random autoencoder of the middle layer with 16 latents per width, as the selectors train by default."""
    latents = 16 * WIDTH
    weights = torch.randn(latents, WIDTH) / WIDTH**0.5
    arrays = Autoencoder(weights, torch.zeros(latents), weights.clone(), torch.zeros(WIDTH), k=64).arrays()
    context = Context(scorer=ModelRef("random", ""))
    return BoundTags(SaeTags(SparseAutoencoder()), {**arrays, "layer": np.array(LAYERS // 2)}, context)


def naive(model: LlamaForCausalLM, texts: Texts, size: int) -> None:
    """The head and every hidden state, in batches of `size` texts as they come, pooled afterwards."""
    for start in range(0, len(texts.distinct), size):
        rows = texts.distinct[start : start + size]
        ids = torch.from_numpy(padded_ids(rows))
        mask = torch.zeros(ids.shape, dtype=torch.long)
        for row, text in zip(mask, rows):
            row[: len(text.ids)] = 1
        with torch.no_grad():
            out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        for states in out.hidden_states[1:]:
            (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def bare(model: LlamaForCausalLM, texts: Texts) -> None:
    """Our batches through the decoder, and nothing read."""
    for batch in texts.batches(batch_tokens(model)):
        ids = torch.from_numpy(padded_ids([texts.distinct[i] for i in batch]))
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=False)


def ours(model: LlamaForCausalLM, texts: Texts, *specs: ActivationTags | PooledActivations | BoundTags) -> None:
    collectors = [spec.collector(texts, LAYERS) for spec in specs]
    readings = list(dict.fromkeys(reading for collector in collectors for reading in collector.readings))
    for batch, pooled in read_activations(model, texts.distinct, texts.batches(batch_tokens(model)), readings):
        for collector in collectors:
            collector.add(batch, pooled)
    for collector in collectors:
        collector.result()


def main() -> None:
    options = arguments(__doc__ or "")
    texts, model = made_texts(*((40, 64) if options.quick else (600, 512))), made_model()
    tokens = sum(len(text.ids) for text in texts.distinct)
    print(f"{len(texts.distinct)} texts, {tokens:,} tokens, {options.threads} threads")
    everything = (
        ActivationTags(),
        PooledActivations("resid", "all", "every", "last_minus_first"),
        PooledActivations("resid", "all", "prompt", "mean"),
    )
    tags = sae_tags()
    ways = {
        "bare decoder pass": lambda: bare(model, texts),
        "selbench: ffn_gate, mean, all layers": lambda: ours(model, texts, PooledActivations("ffn_gate", "all")),
        "selbench: tags (1 %), all layers": lambda: ours(model, texts, ActivationTags(layers="all")),
        "selbench: tags (1 %), middle": lambda: ours(model, texts, ActivationTags()),
        "selbench: tags, drifts and means in one pass": lambda: ours(model, texts, *everything),
        "selbench: the same and SAE tags in one pass": lambda: ours(model, texts, *everything, tags),
        "batch 1, head, all hidden states": lambda: naive(model, texts, 1),
        "unsorted batch 16, head, all hidden states": lambda: naive(model, texts, 16),
    }
    compare(ways, "bare decoder pass", options, {"tokens/s": tokens})
    unit = 1 if sys.platform == "darwin" else 1024
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20:,.0f} MB")


if __name__ == "__main__":
    main()
