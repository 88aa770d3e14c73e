"""Extracting activations from a Llama with random weights: 15 million parameters, 600 texts of 16 to 512 tokens.

Compared are selbench's pass, the bare decoder pass over the same batches, and the naive way: a pass with head and all
hidden states, one text at a time and in unsorted batches of 16. Tokenisation is left out: the texts are random tokens.
"""

from __future__ import annotations

import resource
import sys

import numpy as np
import torch
from side_by_side import parse_options, time_ways
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


def random_texts(rows: int, longest: int) -> Texts:
    rng = np.random.default_rng(0)
    texts = []
    for length in rng.integers(16, longest + 1, rows):
        roles = np.full(length, PROMPT, np.uint8)
        roles[0] = TEMPLATE
        texts.append(Encoded(rng.integers(3, 32000, length), roles))
    return Texts(texts, np.arange(rows))


def random_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=WIDTH,
        intermediate_size=768,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
    )
    return LlamaForCausalLM(config).eval()


def random_sae_tags() -> BoundTags:
    """The tags of a random autoencoder of the middle layer, with 16 x WIDTH latents as the selectors train by default."""
    latents = 16 * WIDTH
    weights = torch.randn(latents, WIDTH) / WIDTH**0.5
    arrays = Autoencoder(weights, torch.zeros(latents), weights.clone(), torch.zeros(WIDTH), k=64).arrays()
    context = Context(scorer=ModelRef("random", ""))
    return BoundTags(SaeTags(SparseAutoencoder()), {**arrays, "layer": np.array(LAYERS // 2)}, context)


def naive_pass(model: LlamaForCausalLM, texts: Texts, size: int) -> None:
    """A pass with head and all hidden states, in unsorted batches of `size` texts, pooled afterwards."""
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


def bare_decoder_pass(model: LlamaForCausalLM, texts: Texts) -> None:
    """The decoder pass over selbench's batches through all blocks, without reading anything."""
    for batch in texts.batches(batch_tokens(model)):
        ids = torch.from_numpy(padded_ids([texts.distinct[i] for i in batch]))
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=False)


def selbench_pass(
    model: LlamaForCausalLM, texts: Texts, *specs: ActivationTags | PooledActivations | BoundTags
) -> None:
    """One pass that collects the features of all specs, as extractor.compute_many does."""
    collectors = [spec.collector(texts, LAYERS) for spec in specs]
    readings = list(dict.fromkeys(reading for collector in collectors for reading in collector.readings))
    for batch, pooled in read_activations(model, texts.distinct, texts.batches(batch_tokens(model)), readings):
        for collector in collectors:
            collector.add(batch, pooled)
    for collector in collectors:
        collector.result()


def main() -> None:
    options = parse_options(__doc__ or "")
    texts, model = random_texts(*((40, 64) if options.quick else (600, 512))), random_model()
    tokens = sum(len(text.ids) for text in texts.distinct)
    print(f"{len(texts.distinct)} texts, {tokens:,} tokens, {options.threads} threads")
    everything = (
        ActivationTags(),
        PooledActivations("resid", "all", "every", "last_minus_first"),
        PooledActivations("resid", "all", "prompt", "mean"),
    )
    tags = random_sae_tags()
    ways = {
        "bare decoder pass": lambda: bare_decoder_pass(model, texts),
        "selbench: ffn_gate, mean, all layers": lambda: selbench_pass(
            model, texts, PooledActivations("ffn_gate", "all")
        ),
        "selbench: tags (1 %), all layers": lambda: selbench_pass(model, texts, ActivationTags(layers="all")),
        "selbench: tags (1 %), middle": lambda: selbench_pass(model, texts, ActivationTags()),
        "selbench: tags, drifts and means in one pass": lambda: selbench_pass(model, texts, *everything),
        "selbench: the same and SAE tags in one pass": lambda: selbench_pass(model, texts, *everything, tags),
        "batch 1, head, all hidden states": lambda: naive_pass(model, texts, 1),
        "unsorted batch 16, head, all hidden states": lambda: naive_pass(model, texts, 16),
    }
    time_ways(ways, "bare decoder pass", options, {"tokens/s": tokens})
    unit = 1 if sys.platform == "darwin" else 1024
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20:,.0f} MB")


if __name__ == "__main__":
    main()
