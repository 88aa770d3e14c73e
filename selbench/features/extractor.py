"""Many features from one forward pass of the scorer over the pool.

A spec takes part if it has a field `response` and a method `collector(texts, depth)`; one that has a field `sample_seed`
chooses its calibration texts by it. The collector lists what is to be
read (`readings`), receives every batch (`add`) and returns the feature (`result`).

The list of batches of the whole pool fixes the bits of a feature. A shard (`compute_shard`) reads some of these batches as they
are, and so has the bits that one pass over the pool would give its examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from selbench.api import Context, Feature, FeatureSpec, Pool
from selbench.features.forward import Reading, batch_tokens, forward_flops, read_activations
from selbench.features.resume import Checkpoint
from selbench.features.shards import EXAMPLES, empty_shard, shard_range
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


class CalibratedSpec(ExtractedSpec, Protocol):
    """A feature that can be computed in shards."""

    @property
    def calibrated(self) -> bool:
        """Whether a row depends on the calibration texts too: every shard then reads these first."""
        ...


def compute_many(specs: Sequence[ExtractedSpec], pool: Pool, context: Context) -> list[Feature]:
    """The features of all specs, in the order of the specs.

    Specs with the same `response`, and the same `sample_seed` where they have one, share one forward pass.

    A feature has the same bits whether it is computed alone or with others, because batches depend on the texts only.
    The FLOPs of the passes are added to `flops` in the context's log.
    """
    from selbench.kept_model import borrowed_model

    with borrowed_model(context.scorer) as model:
        return _features_together(model, specs, pool, context)


def _features_together(
    model: PreTrainedModel, specs: Sequence[ExtractedSpec], pool: Pool, context: Context
) -> list[Feature]:
    encoded = _reader(model, pool, context)
    groups: dict[tuple[bool, int | None], list[ExtractedSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.response, getattr(spec, "sample_seed", None)), []).append(spec)
    results: dict[ExtractedSpec, Feature] = {}
    tokens = 0
    for (response, seed), members in groups.items():
        texts = encoded(response, seed)
        tokens += sum(len(text.ids) for text in texts.distinct)
        name = f"{'texts' if response else 'prompts'}-{len(members)}" + ("" if seed is None else f"-{seed}")
        results.update(
            zip(
                members, _features_of_one_pass(model, texts, texts.batches(batch_tokens(model)), members, context, name)
            )
        )
    context.log(flops=context.logged.get("flops", 0.0) + forward_flops(model, tokens))
    return [results[spec] for spec in specs]


def compute_shard(spec: CalibratedSpec, pool: Pool, context: Context, shard: int, of: int) -> Feature:
    """Shard number `shard` (from 0) of `of`: the feature of the examples whose texts are in its range of the pool's batches.

    Every shard of a feature that is `calibrated` reads the calibration texts, CALIBRATION at most, once more: shards then
    wait for no other one and can be computed in any order. Their rows belong to the first. Without a batch of its own a shard
    reads nothing. The FLOPs of what it reads are added to `flops` in the context's log.
    """
    from selbench.kept_model import borrowed_model

    with borrowed_model(context.scorer) as model:
        return _shard_of(model, spec, pool, context, shard, of)


def _shard_of(
    model: PreTrainedModel, spec: CalibratedSpec, pool: Pool, context: Context, shard: int, of: int
) -> Feature:
    encoded = _reader(model, pool, context)
    texts = encoded(spec.response, getattr(spec, "sample_seed", None))
    batches = texts.batches(batch_tokens(model))
    first = _calibration_batches(texts, batches) if spec.calibrated else 0
    rest = shard_range(len(batches) - first, shard, of)
    own = [*(batches[:first] if shard == 0 else ()), *(batches[first + number] for number in rest)]
    if not own:
        return empty_shard()
    read = own if shard == 0 else [*batches[:first], *own]
    # Ascending, so that the calibration texts are the first ones of the shard too, in the same order.
    positions = np.sort(np.concatenate(read))
    place = np.full(len(texts.distinct), -1)
    place[positions] = np.arange(len(positions))
    examples = np.flatnonzero(np.isin(texts.of, np.concatenate(own)))
    part = Texts([texts.distinct[position] for position in positions], place[texts.of[examples]])
    context.log(flops=context.logged.get("flops", 0.0) + forward_flops(model, sum(len(t.ids) for t in part.distinct)))
    (feature,) = _features_of_one_pass(model, part, [place[batch] for batch in read], [spec], context, "shard")
    return {**feature, EXAMPLES: examples}


def _calibration_batches(texts: Texts, batches: Sequence[np.ndarray]) -> int:
    """How many of the batches, from the first on, are those of the calibration texts, which fill whole batches."""
    return int(np.searchsorted(np.cumsum([len(batch) for batch in batches]), texts.calibration)) + 1


def _reader(model: PreTrainedModel, pool: Pool, context: Context) -> Callable[[bool, int | None], Texts]:
    """What gives the pool's texts as the scorer reads them: with responses or without, and for a sample seed."""
    from selbench.models import load_tokenizer

    tokenizer, limit = load_tokenizer(context.scorer), context.scorer.max_length
    longest = min(limit, getattr(model.config, "max_position_embeddings", limit))

    def encoded(response: bool, seed: int | None) -> Texts:
        return encode_pool(pool, tokenizer, max_length=longest, response=response, context=context, sample_seed=seed)

    return encoded


def _features_of_one_pass(
    model: PreTrainedModel,
    texts: Texts,
    batches: Sequence[np.ndarray],
    specs: Sequence[ExtractedSpec],
    context: Context,
    name: str,
) -> list[Feature]:
    from selbench.features.architectures import blocks_of

    collectors = [spec.collector(texts, len(blocks_of(model))) for spec in specs]
    readings = list(dict.fromkeys(reading for collector in collectors for reading in collector.readings))
    checkpoint = Checkpoint(context.checkpoint, name, collectors, len(batches))
    done = checkpoint.restore()
    left: Any = context.progress(batches[done:], "activations")
    for batch, pooled in read_activations(model, texts.distinct, left, readings):
        for collector in collectors:
            collector.add(batch, pooled)
        done += 1
        checkpoint.save(done)
    return [collector.result() for collector in collectors]
