"""Many features from one forward pass of the scorer over the pool.

A spec takes part if it has a field `response` and a method `collector(texts, depth)`; one that has a field `sample_seed`
chooses its calibration texts by it. The collector lists what is to be
read (`readings`), receives every batch (`add`) and returns the feature (`result`).
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
    """Gathers one feature from the batches of distinct texts; the calibration texts come first."""

    readings: list[Reading]  # the pooled activations that `add` receives

    @property
    def kept(self) -> Sequence[str]:
        """Names of the attributes that `add` changes: they are saved so that an interrupted pass can be resumed."""
        ...

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        """Take one batch: B positions in Texts.distinct, and a B x width float32 tensor for each reading."""
        ...

    def result(self) -> Feature:
        """The feature, with one row per example of the pool, after all batches were added."""
        ...


class ExtractedSpec(FeatureSpec, Protocol):
    """A feature that this module can compute together with others."""

    @property
    def response(self) -> bool:
        """Whether the scorer reads the response after the prompt."""
        ...

    def collector(self, texts: Texts, depth: int) -> Collector:
        """A new collector of this feature, for these texts and a scorer of `depth` blocks."""
        ...


def compute_many(specs: Sequence[ExtractedSpec], pool: Pool, context: Context) -> list[Feature]:
    """The features of all specs, in the order of the specs.

    Specs with the same `response`, and the same `sample_seed` where they have one, share one forward pass.

    A feature has the same bits whether it is computed alone or with others, because batches depend on the texts only.
    The FLOPs of the passes are added to `flops` in the context's log.
    """
    from selbench.kept_model import borrowed_model

    with borrowed_model(context.scorer) as model:
        return _computed(model, specs, pool, context)


def _computed(model: PreTrainedModel, specs: Sequence[ExtractedSpec], pool: Pool, context: Context) -> list[Feature]:
    from selbench.models import load_tokenizer

    tokenizer = load_tokenizer(context.scorer)
    longest = min(
        context.scorer.max_length, getattr(model.config, "max_position_embeddings", context.scorer.max_length)
    )
    groups: dict[tuple[bool, int | None], list[ExtractedSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.response, getattr(spec, "sample_seed", None)), []).append(spec)
    results: dict[ExtractedSpec, Feature] = {}
    tokens = 0
    for (response, seed), members in groups.items():
        texts = encode_pool(pool, tokenizer, max_length=longest, response=response, context=context, sample_seed=seed)
        tokens += sum(len(text.ids) for text in texts.distinct)
        name = f"{'texts' if response else 'prompts'}-{len(members)}" + ("" if seed is None else f"-{seed}")
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
    checkpoint = Checkpoint(context.checkpoint, name, collectors, len(batches))
    done = checkpoint.restore()
    left: Any = context.progress(batches[done:], "activations")
    for batch, pooled in read_activations(model, texts.distinct, left, readings):
        for collector in collectors:
            collector.add(batch, pooled)
        done += 1
        checkpoint.save(done)
    return [collector.result() for collector in collectors]
