"""Many features from one forward pass of the scorer over the pool.

A spec takes part if it has a method `collector(texts, depth)` and says which texts are read: with a field `response` the
examples in the scorer's template, where a field `sample_seed` chooses the calibration texts; or any others with `text_kind`. The
collector lists what is to be read (`readings`), receives every batch (`add`) and returns the feature (`result`).

The list of batches of the whole pool fixes the bits of a feature. A shard (`compute_shard`) reads some of these batches as they
are, and so has the bits that one pass over the pool would give its examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from selbench.api import Context, Feature, FeatureSpec, Pool
from selbench.features.forward import AnyReading, batch_tokens, forward_flops, read_activations
from selbench.features.head import TokenLosses, head_flops
from selbench.features.resume import Checkpoint
from selbench.features.shards import EXAMPLES, empty_shard, shard_range
from selbench.features.texts import Conversations, TextKind, Texts

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Collector(Protocol):
    """Gathers one feature from the batches of distinct texts; the calibration texts come first."""

    @property
    def readings(self) -> Sequence[AnyReading]:
        """What `add` receives."""
        ...

    @property
    def kept(self) -> Sequence[str]:
        """Names of the attributes that `add` changes: they are saved so that an interrupted pass can be resumed."""
        ...

    def add(self, batch: np.ndarray, pooled: dict[Any, Tensor]) -> None:
        """Take one batch: B positions in Texts.distinct, and a float32 tensor with B rows for each reading."""
        ...

    def result(self) -> Feature:
        """The feature, with one row per example of the pool, after all batches were added."""
        ...


class ExtractedSpec(FeatureSpec, Protocol):
    """A feature that this module can compute together with others."""

    def collector(self, texts: Texts, depth: int) -> Collector:
        """A new collector of this feature, for these texts and a scorer of `depth` blocks (0 if it reads no block)."""
        ...


class CalibratedSpec(ExtractedSpec, Protocol):
    """A feature that can be computed in shards."""

    @property
    def calibrated(self) -> bool:
        """Whether a row depends on the calibration texts too: every shard then reads these first."""
        ...


def compute_many(specs: Sequence[ExtractedSpec], pool: Pool, context: Context) -> list[Feature]:
    """The features of all specs, in the order of the specs.

    Specs whose texts are of one kind share one forward pass.

    A feature has the same bits whether it is computed alone or with others, because batches depend on the texts only.
    The FLOPs of the passes are added to `flops` in the context's log.
    """
    groups: dict[TextKind, list[ExtractedSpec]] = {}
    for spec in specs:
        groups.setdefault(text_kind(spec), []).append(spec)
    results: dict[ExtractedSpec, Feature] = {}
    with _loaded_scorer(context) as scorer:
        for kind, members in groups.items():
            texts = kind.encode(pool, scorer.tokenizer, scorer.longest, context)
            batches = texts.batches(batch_tokens(scorer.model))
            name = f"{kind.name}-{len(members)}"
            results.update(zip(members, _features_of_one_pass(scorer.model, texts, batches, members, context, name)))
    return [results[spec] for spec in specs]


def text_kind(spec: ExtractedSpec) -> TextKind:
    """Which texts of a pool a spec reads."""
    named: TextKind | None = getattr(spec, "text_kind", None)
    return named or Conversations(spec.response, getattr(spec, "sample_seed", None))  # type: ignore[attr-defined]


def compute_shard(spec: CalibratedSpec, pool: Pool, context: Context, shard: int, of: int) -> Feature:
    """Shard number `shard` (from 0) of `of`: the feature of the examples whose texts are in its range of the pool's batches.

    Every shard of a feature that is `calibrated` reads the calibration texts, CALIBRATION at most, once more: shards then
    wait for no other one and can be computed in any order. Their rows belong to the first. Without a batch of its own a shard
    reads nothing. The FLOPs of what it reads are added to `flops` in the context's log.
    """
    with _loaded_scorer(context) as scorer:
        return _shard_of(scorer, spec, pool, context, shard, of)


def _shard_of(scorer: _Scorer, spec: CalibratedSpec, pool: Pool, context: Context, shard: int, of: int) -> Feature:
    texts = text_kind(spec).encode(pool, scorer.tokenizer, scorer.longest, context)
    batches = texts.batches(batch_tokens(scorer.model))
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
    part = dataclasses.replace(
        texts,
        distinct=[texts.distinct[position] for position in positions],
        of=place[texts.of[examples]],
        cut=None if texts.cut is None else texts.cut[examples],
    )
    (feature,) = _features_of_one_pass(scorer.model, part, [place[batch] for batch in read], [spec], context, "shard")
    return {**feature, EXAMPLES: examples}


def _calibration_batches(texts: Texts, batches: Sequence[np.ndarray]) -> int:
    """How many of the batches, from the first on, are those of the calibration texts, which fill whole batches."""
    return int(np.searchsorted(np.cumsum([len(batch) for batch in batches]), texts.calibration)) + 1


class _Scorer(NamedTuple):
    """The scorer of a context, loaded, with its tokenizer and the tokens that it reads at most."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    longest: int


@contextmanager
def _loaded_scorer(context: Context) -> Iterator[_Scorer]:
    from selbench.kept_model import borrowed_model
    from selbench.models import load_tokenizer

    limit = context.scorer.max_length
    with borrowed_model(context.scorer) as model:
        longest = min(limit, getattr(model.config, "max_position_embeddings", limit))
        yield _Scorer(model, load_tokenizer(context.scorer), longest)


def _features_of_one_pass(
    model: PreTrainedModel,
    texts: Texts,
    batches: Sequence[np.ndarray],
    specs: Sequence[ExtractedSpec],
    context: Context,
    name: str,
) -> list[Feature]:
    from selbench.features.architectures import blocks_of

    # A spec that reads the head alone works with families whose blocks are not known here.
    depth = len(blocks_of(model)) if any(getattr(spec, "reads_blocks", True) for spec in specs) else 0
    collectors = [spec.collector(texts, depth) for spec in specs]
    readings = list(dict.fromkeys(reading for collector in collectors for reading in collector.readings))
    tokens = sum(len(text.ids) for text in texts.distinct)
    flops = forward_flops(model, tokens) + (head_flops(model, tokens) if TokenLosses() in readings else 0.0)
    context.log(flops=context.logged.get("flops", 0.0) + flops)
    checkpoint = Checkpoint(context.checkpoint, name, collectors, len(batches))
    done = checkpoint.restore()
    left: Any = context.progress(batches[done:], "activations")
    for batch, pooled in read_activations(model, texts.distinct, left, readings):
        for collector in collectors:
            collector.add(batch, pooled)
        done += 1
        checkpoint.save(done)
    return [collector.result() for collector in collectors]
