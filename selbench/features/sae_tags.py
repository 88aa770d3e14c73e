"""Which latents of a sparse autoencoder each example activates: a sparse binary matrix.

As in arXiv 2502.14050, a latent is on at a token where its activation exceeds a threshold (a JumpReLU instead of TopK;
the paper's threshold is 10). Two things are ours (docs/methods/sae.md): an example has the latents that are on at any
of its tokens, which is inferred from the reported correlation of 0.92 with length, and the threshold is calibrated to
the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.data.chat import RESPONSE
from selbench.errors import UserError, unknown
from selbench.features.extractor import compute_many, compute_shard
from selbench.features.forward import Reading
from selbench.features.sae import PublishedAutoencoder, SparseAutoencoder
from selbench.features.sae_published import check_width
from selbench.features.sae_tokens import CountedPositions, check_positions, reading_of, resolve_layer, token_counts
from selbench.features.shards import merged_rows, merged_sparse_rows
from selbench.features.texts import Texts
from selbench.sizes import FeatureSize, ModelShape, PoolSize, csr_bytes, read_tokens

if TYPE_CHECKING:
    from torch import Tensor

LatentThreshold = Literal["per_token", "absolute", "quantile"]
THRESHOLDS = get_args(LatentThreshold)
ENTRIES = 1 << 24  # token activations computed at once: 64 MB
# Theta is calibrated on about this many tokens of the calibration texts, evenly spaced. The rule per_token keeps two
# activations of each token, the quantile every positive one: so the latter takes fewer tokens.
RANKED, POSITIVE = 16_384, 1024
FACTS = ("fvu", "l0", "dead_share")  # of a SparseAutoencoder, which its tags hold too


@dataclass(frozen=True)
class SaeTags:
    """The latents of each example whose activation exceeds a threshold, theta, at any counted token.

    The rules for theta:

    - per_token: the median token has `level` active latents (None: k / 8, at least 1).
    - absolute: theta is `level`, in the units of the scorer's residual stream (the paper: 10).
    - quantile: theta is the quantile `level` of the positive activations.

    The first and the last are calibrated on 1,024 distinct texts chosen at random (all, if there are no more), and on
    about 16,000 (quantile: 1,000) of their tokens, evenly spaced.

    Feature: the N x L matrix in CSR form as `indptr` (N + 1), `indices` (latents, ascending within a row) and `shape`;
    `theta`; `text_tokens` and `response_tokens` (N counts); `length_correlation`, Pearson's, of the number of active
    latents with text_tokens (NaN if one of them is constant; the paper reports 0.92); and `fvu`, `l0` and `dead_share`
    if the autoencoder is a SparseAutoencoder. Raises UserError for an option that is not valid.
    """

    sae: SparseAutoencoder | PublishedAutoencoder
    threshold: LatentThreshold = "per_token"  # the rule for theta
    level: float | None = (
        None  # what the rule needs: a number of latents, a value, or a share; optional for per_token only
    )
    positions: CountedPositions = "all"  # prompt, response or all; never BOS, template or end token
    sample_seed: int | None = None  # of the calibration texts; None: texts that follow from the pool alone

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positions(self.positions)
        if self.threshold not in THRESHOLDS:
            raise UserError(unknown("threshold", self.threshold, THRESHOLDS))
        if self.level is None and self.threshold != "per_token":
            raise UserError(f"threshold={self.threshold} needs a level.")
        if self.level is not None and (self.level < 0 or (self.threshold == "quantile" and self.level >= 1)):
            raise UserError(f"level={self.level} is not valid: at least 0, and for threshold=quantile below 1.")
        if self.level is not None and self.threshold == "per_token" and (self.level < 1 or self.level % 1):
            raise UserError(f"level={self.level}: threshold=per_token needs a whole number of latents, at least 1.")

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        """As if each token turned one latent on that no other of its example does: how many are on is not known before."""
        tokens = read_tokens(pool, response=True)
        return FeatureSize(tokens, csr_bytes(pool.examples, tokens))

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Read the tags.

        Raises UserError if a published autoencoder has another width than the scorer, or if its layer is not known, or
        if its k is not known and the rule needs it.
        """
        return self._logged(self.bound(pool, context).compute(pool, context), context)

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        """One shard of the tags; raises UserError as `compute` does."""
        return compute_shard(self.bound(pool, context), pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        indptr, indices = merged_sparse_rows(shards)
        tokens = merged_rows(shards, "text_tokens")
        merged = {
            "indptr": indptr,
            "indices": indices,
            "shape": np.array([len(tokens), shards[0]["shape"][1]]),
            "theta": shards[0]["theta"],
            "text_tokens": tokens,
            "response_tokens": merged_rows(shards, "response_tokens"),
            "length_correlation": np.array(pearson_correlation(np.diff(indptr), tokens)),
            **{name: shards[0][name] for name in FACTS if name in shards[0]},
        }
        return self._logged(merged, context)

    @staticmethod
    def _logged(feature: Feature, context: Context) -> Feature:
        """The tags, of which theta, the active latents and their correlation with length were logged."""
        active, length = float(np.diff(feature["indptr"]).mean()), float(feature["length_correlation"])
        context.log(sae_theta=float(feature["theta"]), sae_active_per_example=active)
        if np.isfinite(length):
            context.log(sae_length_correlation=length)
        return feature

    def bound(self, pool: Pool, context: Context) -> BoundTags:
        """These tags with the arrays of their autoencoder, trained first if need be: a spec for extractor.compute_many."""
        if isinstance(self.sae, PublishedAutoencoder):  # not through the store, where a copy would only cost space
            arrays: Feature = self.sae.compute(pool, context)
        else:
            arrays = context.features(self.sae, of=pool)
        return BoundTags(self, arrays, context)


class BoundTags:
    """A spec for extractor.compute_many: SaeTags and the arrays of its autoencoder."""

    needs_scorer: ClassVar[bool] = True
    response = True

    def __init__(self, spec: SaeTags, arrays: Feature, context: Context) -> None:
        self.calibrated = spec.threshold != "absolute"
        self.spec, self.arrays, self.positions = spec, arrays, spec.positions
        self.sample_seed = spec.sample_seed
        self.scorer = context.scorer

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def collector(self, texts: Texts, depth: int) -> _LatentTagCollector:
        sae = self.spec.sae
        layer = sae.layer if isinstance(sae, PublishedAutoencoder) else None
        asked = None if layer is None else resolve_layer(layer, depth)
        if "layer" not in self.arrays:
            if asked is None:
                raise UserError("the published autoencoder does not say which layer it reads: name it with layer=...")
            return _LatentTagCollector(self, texts, asked)
        own = resolve_layer(str(int(self.arrays["layer"])), depth)
        if asked not in (None, own):
            raise UserError(f"the autoencoder reads the output of block {own}, but layer={layer} is block {asked}.")
        return _LatentTagCollector(self, texts, own)


class _LatentTagCollector:
    """Collects SaeTags. The largest activations of the calibration texts are kept until theta is known."""

    kept = ("theta", "seen", "waiting", "calibration", "rows")

    def __init__(self, bound: BoundTags, texts: Texts, layer: int) -> None:
        self.bound, self.spec, self.texts = bound, bound.spec, texts
        self.reading = reading_of(layer, bound.positions)
        self.readings = [self.reading]
        self.counts = token_counts(texts.distinct, bound.positions)
        self.model: Any = None
        self.theta = float(self.spec.level or 0) if self.spec.threshold == "absolute" else None
        self.rank = self._target_rank()
        # Every stride-th token of the calibration texts is looked at.
        sample = RANKED if self.rank else POSITIVE
        self.stride = max(1, int(self.counts[: texts.calibration].sum()) // sample)
        self.seen = 0
        self.waiting: list[tuple[np.ndarray, Tensor]] = []  # texts read before theta is known, with their activations
        self.calibration: list[Tensor] = []  # the activations from which theta follows
        self.rows: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts.distinct)

    def _target_rank(self) -> int:
        """How many latents of the median token are to be on; 0 if another rule than per_token is used."""
        k = int(self.bound.arrays["k"])
        if self.spec.threshold == "per_token" and self.spec.level is None and not k:
            raise UserError("this autoencoder has no k to derive theta from: name level=..., or another threshold.")
        return int(self.spec.level or max(1, round(k / 8))) if self.spec.threshold == "per_token" else 0

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        tokens = pooled[self.reading]
        counts = self.counts[batch]
        if not counts.all():  # a text without a counted token was read at a template token, which is left out
            tokens = tokens[np.repeat(counts > 0, np.maximum(counts, 1))]
            batch, counts = batch[counts > 0], counts[counts > 0]
        done = 0
        for first, last in _groups_of_texts(counts, max(1, ENTRIES // len(self.bound.arrays["b_enc"]))):
            size = int(counts[first:last].sum())
            self._add_texts(batch[first:last], counts[first:last], tokens[done : done + size])
            done += size
        self.seen += len(batch)
        if self.theta is None and self.seen == int((self.counts[: self.texts.calibration] > 0).sum()):
            self.theta = self._calibrated_theta()
            for rows, largest in self.waiting:
                self._mark_active_latents(rows, largest)
            self.waiting, self.calibration = [], []

    def _add_texts(self, batch: np.ndarray, counts: np.ndarray, tokens: Tensor) -> None:
        """Mark the active latents of some texts, or keep their largest activations while theta is not known.

        `tokens` (T x d) are those of the texts in `batch`, `counts` of each. Activations are in the units of the
        residual stream, not scaled.
        """
        model = self._loaded_autoencoder(tokens)
        scaled = tokens.to(model.W_enc.device) * model.scale
        # (Jump)ReLU and the scale keep the order of a latent's potentials, so they need only be applied to the highest.
        largest = model.activated(model.highest_potentials(scaled, counts.tolist())) / model.scale
        if self.theta is not None:
            self._mark_active_latents(batch, largest)
            return
        self.waiting.append((batch, largest))
        sample = model.activated(model.potentials(scaled[:: self.stride])) / model.scale
        self.calibration.append(_values_around_rank(sample, self.rank) if self.rank else sample[sample > 0])

    def _calibrated_theta(self) -> float:
        """Half way between the medians of the two activations that theta separates; or the quantile."""
        import torch

        if not self.calibration:
            return 0.0
        values = torch.cat(self.calibration).double().cpu().numpy()
        if self.rank:
            return float(np.median(values, axis=0).mean())
        return float(np.quantile(values, self.spec.level or 0.0)) if len(values) else 0.0

    def _mark_active_latents(self, batch: np.ndarray, largest: Tensor) -> None:
        assert self.theta is not None
        on = (largest > self.theta).cpu().numpy()
        latents = np.nonzero(on)[1]
        for row, part in zip(batch, np.split(latents.astype(np.int32), np.cumsum(on.sum(axis=1))[:-1])):
            self.rows[row] = part

    def _loaded_autoencoder(self, tokens: Tensor) -> Any:
        if self.model is None:
            import torch

            from selbench.features.sae_model import Autoencoder

            check_width(self.bound.arrays, tokens.shape[1], self.bound.scorer.name)
            self.model = Autoencoder.of(self.bound.arrays, "cuda" if torch.cuda.is_available() else "cpu")
        return self.model

    def result(self) -> Feature:
        of = self.texts.of
        rows = [self.rows[i] for i in of]
        sizes = np.array([len(row) for row in rows])
        tokens = self.counts[of]
        answers = np.array([int((text.roles == RESPONSE).sum()) for text in self.texts.distinct])[of]
        facts = {name: self.bound.arrays[name] for name in FACTS if name in self.bound.arrays}
        return {
            "indptr": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            "indices": np.concatenate(rows),
            "shape": np.array([len(rows), len(self.bound.arrays["b_enc"])]),
            "theta": np.array(self.theta or 0.0),
            "text_tokens": tokens,
            "response_tokens": answers,
            "length_correlation": np.array(pearson_correlation(sizes, tokens)),
            **facts,
        }


def pearson_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two arrays of N numbers; NaN if one of them is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def _values_around_rank(activations: Tensor, rank: int) -> Tensor:
    """T x 2: the activations (of T x L) at place `rank` and at the next place of every token, between which theta must lie.

    Where `rank` is L, the next activation is taken to be 0.
    """
    largest = activations.topk(min(rank + 1, activations.shape[1])).values
    return largest[:, -2:] if activations.shape[1] > rank else largest[:, -1:].repeat(1, 2) * largest.new_tensor([1, 0])


def _groups_of_texts(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Groups (first, past the last) of consecutive texts with at most `most` tokens together; a longer text is a group."""
    groups, first, size = [], 0, 0
    for place, count in enumerate(counts):
        if place > first and size + count > most:
            groups.append((first, place))
            first, size = place, 0
        size += int(count)
    return [*groups, (first, len(counts))] if len(counts) else groups
