"""Which latents of a sparse autoencoder each example activates: a sparse binary matrix.

arXiv 2502.14050: at inference a latent is on where its activation exceeds a threshold (a JumpReLU, no TopK), 10 in the
paper. Methods.md 3.2: an example has the latents that are on at any token of instruction and response (max-pooling,
inferred from the reported correlation of 0.92 with length), and the threshold is calibrated to the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.data.chat import RESPONSE
from selbench.errors import UserError, unknown
from selbench.features.extractor import compute_many
from selbench.features.forward import Reading
from selbench.features.sae import PublishedAutoencoder, SparseAutoencoder
from selbench.features.sae_published import check_width
from selbench.features.sae_tokens import CountedPositions, check_positions, reading_of, resolve_layer, token_counts
from selbench.features.texts import Texts

if TYPE_CHECKING:
    from torch import Tensor

LatentThreshold = Literal["per_token", "absolute", "quantile"]
THRESHOLDS = get_args(LatentThreshold)
CELLS = 1 << 24  # activations of tokens computed at once: 64 MB
# Tokens of the calibration texts, evenly spread, whose activations are looked at: two ranks of each
# are kept for per_token, every positive one for the quantile.
RANKED, POSITIVE = 16_384, 1024


@dataclass(frozen=True)
class SaeTags:
    """The latents above theta at any counted token of an example.

    threshold: per_token: theta such that the median token has `level` active latents (None: k / 8, at least 1).
        absolute: theta = `level`, in the units of the scorer's residual stream (the paper: 10).
        quantile: theta is the quantile `level` of the positive activations.
    The last two need a level. Calibration is on a random 1,024 of the distinct texts, or all where there are no more;
    of their tokens on about 16,000 (quantile: 1,000), evenly spread.
    positions: prompt, response or all; never the BOS, the template, or the end token.

    Gives CSR rows, `indptr` (N + 1) and `indices` (latents, rising in a row) with `shape`; `theta`; `text_tokens` and
    `response_tokens` (N counts); `length_correlation` of the number of active latents with text_tokens (NaN where one
    of them is constant; the paper has 0.92); and `fvu`, `l0`, `dead_share` of an autoencoder that was trained here.
    """

    sae: SparseAutoencoder | PublishedAutoencoder
    threshold: LatentThreshold = "per_token"
    level: float | None = None
    positions: CountedPositions = "all"

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

    def compute(self, pool: Pool, context: Context) -> Feature:
        """Raises UserError if a published autoencoder has another width than the scorer, or no known layer or k."""
        feature = self.bound(pool, context).compute(pool, context)
        active, length = float(np.diff(feature["indptr"]).mean()), float(feature["length_correlation"])
        context.log(sae_theta=float(feature["theta"]), sae_active_per_example=active)
        if np.isfinite(length):
            context.log(sae_length_correlation=length)
        return feature

    def bound(self, pool: Pool, context: Context) -> BoundTags:
        """These tags with their autoencoder at hand (trained if need be), ready for extractor.compute_many."""
        if isinstance(self.sae, PublishedAutoencoder):  # a copy in the store would only cost space
            arrays: Feature = self.sae.compute(pool, context)
        else:
            arrays = context.features(self.sae, of=pool)
        return BoundTags(self, arrays, context)


class BoundTags:
    """A spec for extractor.compute_many: SaeTags and the arrays of its autoencoder."""

    needs_scorer: ClassVar[bool] = True
    response = True

    def __init__(self, spec: SaeTags, arrays: Feature, context: Context) -> None:
        self.spec, self.arrays, self.positions = spec, arrays, spec.positions
        self.scorer = context.scorer

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def collector(self, texts: Texts, depth: int) -> _LatentTagCollector:
        sae = self.spec.sae
        if isinstance(sae, PublishedAutoencoder) and sae.layer is not None:
            return _LatentTagCollector(self, texts, resolve_layer(sae.layer, depth))
        if "layer" not in self.arrays:
            raise UserError("the published autoencoder does not say which layer it reads: name it with layer=...")
        return _LatentTagCollector(self, texts, resolve_layer(str(int(self.arrays["layer"])), depth))


class _LatentTagCollector:
    """Gathers the tags. For the calibration texts the largest activations are kept until theta is known."""

    kept = ("theta", "seen", "waiting", "calibration", "rows")

    def __init__(self, bound: BoundTags, texts: Texts, layer: int) -> None:
        self.bound, self.spec, self.texts = bound, bound.spec, texts
        self.reading = reading_of(layer, bound.positions)
        self.readings = [self.reading]
        self.counts = token_counts(texts.distinct, bound.positions)
        self.model: Any = None
        self.theta = float(self.spec.level or 0) if self.spec.threshold == "absolute" else None
        self.rank = self._target_rank()
        sample = RANKED if self.rank else POSITIVE
        self.stride = max(1, int(self.counts[: texts.calibration].sum()) // sample)
        self.seen = 0
        self.waiting: list[tuple[np.ndarray, Tensor]] = []
        self.calibration: list[Tensor] = []
        self.rows: list[np.ndarray] = [np.zeros(0, np.int32)] * len(texts.distinct)

    def _target_rank(self) -> int:
        """How many latents of the median token are to be on."""
        k = int(self.bound.arrays["k"])
        if self.spec.threshold == "per_token" and self.spec.level is None and not k:
            raise UserError("this autoencoder has no k to derive theta from: name level=..., or another threshold.")
        return int(self.spec.level or max(1, round(k / 8))) if self.spec.threshold == "per_token" else 0

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        tokens = pooled[self.reading]
        counts = self.counts[batch]
        if not counts.all():  # a text without a counted token was read at a template token: leave it out
            tokens = tokens[np.repeat(counts > 0, np.maximum(counts, 1))]
            batch, counts = batch[counts > 0], counts[counts > 0]
        done = 0
        for first, last in _groups_of_texts(counts, max(1, CELLS // len(self.bound.arrays["b_enc"]))):
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
        """`tokens` of whole texts, T x d: their activations in the units of the residual stream, and the largest of each."""
        model = self._loaded_autoencoder(tokens)
        scaled = tokens.to(model.W_enc.device) * model.scale
        # The positive part and the scale change no order: they need only be applied to the highest.
        largest = model.highest_potentials(scaled, counts.tolist()).relu_() / model.scale
        if self.theta is not None:
            self._mark_active_latents(batch, largest)
            return
        self.waiting.append((batch, largest))
        sample = model.potentials(scaled[:: self.stride]).relu_() / model.scale
        self.calibration.append(_values_around_rank(sample, self.rank) if self.rank else sample[sample > 0])

    def _calibrated_theta(self) -> float:
        """Half way between the medians of the two activations that theta is to part; or the quantile."""
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
        facts = {name: self.bound.arrays[name] for name in ("fvu", "l0", "dead_share") if name in self.bound.arrays}
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
    """Pearson's; NaN where one of them is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def _values_around_rank(activations: Tensor, rank: int) -> Tensor:
    """T x 2: the activations of every token (T x L) that come at place `rank` and next: theta has to part them."""
    largest = activations.topk(min(rank + 1, activations.shape[1])).values
    return largest[:, -2:] if activations.shape[1] > rank else largest[:, -1:].repeat(1, 2) * largest.new_tensor([1, 0])


def _groups_of_texts(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Runs (first, past the last) of texts of at most `most` tokens together; a longer text is a run of its own."""
    runs, first, size = [], 0, 0
    for place, count in enumerate(counts):
        if place > first and size + count > most:
            runs.append((first, place))
            first, size = place, 0
        size += int(count)
    return [*runs, (first, len(counts))] if len(counts) else runs
