"""Many features from one forward pass of the scorer over the pool.

A spec that wants to take part has a field `response` and a method `collector(texts, depth)`. The
collector says what it wants read (`readings`), is handed every batch (`add`) and gives the feature (`result`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from selbench.api import Context, Feature, FeatureSpec, Pool
from selbench.features.forward import Reading, batch_tokens, forward_flops, read_activations
from selbench.features.resume import Checkpoint
from selbench.features.texts import Texts, encode_pool

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


class Collector(Protocol):
    """Gathers one feature while batches of distinct texts go by; calibration texts come first."""

    readings: list[Reading]

    @property
    def kept(self) -> Sequence[str]:
        """The attributes that `add` changes: what an interrupted pass goes on with (see resume)."""
        ...

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None: ...
    def result(self) -> Feature: ...


class ExtractedSpec(FeatureSpec, Protocol):
    """A feature that this module can compute together with others."""

    @property
    def response(self) -> bool: ...
    def collector(self, texts: Texts, depth: int) -> Collector: ...


def compute_many(specs: Sequence[ExtractedSpec], pool: Pool, context: Context) -> list[Feature]:
    """The features of all specs, in their order: one pass for all that read the same text (`response`).

    Computed together or alone, a feature has the same bits: batches depend on the texts and not on the specs.
    """
    from selbench.models import load_model, load_tokenizer

    tokenizer = load_tokenizer(context.scorer)
    model = load_model(context.scorer)
    longest = min(
        context.scorer.max_length, getattr(model.config, "max_position_embeddings", context.scorer.max_length)
    )
    groups: dict[bool, list[ExtractedSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.response, []).append(spec)
    results: dict[ExtractedSpec, Feature] = {}
    tokens = 0
    for response, members in groups.items():
        texts = encode_pool(pool, tokenizer, max_length=longest, response=response, context=context)
        tokens += sum(len(text.ids) for text in texts.distinct)
        name = f"{'texts' if response else 'prompts'}-{len(members)}"
        results.update(zip(members, _features_of_one_pass(model, texts, members, context, name)))
    context.log(flops=context.logged.get("flops", 0.0) + forward_flops(model, tokens))
    return [results[spec] for spec in specs]


def _features_of_one_pass(
    model: PreTrainedModel, texts: Texts, specs: Sequence[ExtractedSpec], context: Context, name: str
) -> list[Feature]:
    from selbench.features.architectures import blocks_of

    collectors = [spec.collector(texts, len(blocks_of(model))) for spec in specs]
    readings = list(dict.fromkeys(reading for collector in collectors for reading in collector.readings))
    batches = texts.batches(batch_tokens(model))
    resume = Checkpoint(context.checkpoint, name, collectors, len(batches))
    done = resume.restore()
    left: Any = context.progress(batches[done:], "activations")
    for batch, pooled in read_activations(model, texts.distinct, left, readings):
        for collector in collectors:
            collector.add(batch, pooled)
        done += 1
        resume.save(done)
    return [collector.result() for collector in collectors]
