"""Features read from the scorer's activations: their pooled values, or binary tags of strongly activated neurons (MADS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.errors import UserError, unknown
from selbench.features.extractor import compute_many, compute_shard
from selbench.features.forward import Capture, Reading, check_reading
from selbench.features.layers import resolve_layers
from selbench.features.reducers import Pooling, Positions
from selbench.features.shards import merged_rows, merged_sparse_rows
from selbench.features.texts import Texts
from selbench.sizes import FeatureSize, ModelShape, PoolSize, csr_bytes, read_tokens

if TYPE_CHECKING:
    from torch import Tensor

NeuronThreshold = Literal["quantile", "absolute", "top_m"]
THRESHOLDS = get_args(NeuronThreshold)


@dataclass(frozen=True)
class PooledActivations:
    """The scorer's activations, pooled over the positions of a text: one vector per example and layer.

    Feature: `values` (N x layers x width) and `layers` (L integers, the 0-based numbers of the blocks).

    Three captures are of the feed-forward network h = down(act(gate(x)) * up(x)): ffn_gate = act(gate(x)), ffn_prod =
    act(gate(x)) * up(x) and ffn_up_abs = |up(x)|. The fourth, resid, is the residual stream: the output of the block, at
    the last block before the final norm.

    Raises UserError for an option that is not valid.
    """

    capture: Capture = "resid"  # the point of a block that is read
    layers: str = "all"  # the blocks that are read, as resolve_layers understands them
    positions: Positions = "prompt"  # the tokens that count, see reducers.positions_of
    pooling: Pooling = "mean"  # how the counted tokens become one vector, see reducers.POOLINGS
    response: bool = False  # whether the scorer reads the response after the prompt
    dtype: str = "float32"  # type of the stored values: float32 or float16

    needs_scorer: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_positions_readable(self.capture, self.positions, self.pooling, self.response)
        if self.dtype not in ("float32", "float16"):
            raise UserError(unknown("dtype", self.dtype, ("float32", "float16")))

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        width = model.width if self.capture == "resid" else model.inner
        values = pool.examples * len(resolve_layers(self.layers, model.layers)) * width
        return FeatureSize(read_tokens(pool, self.response), float(np.dtype(self.dtype).itemsize * values))

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        return compute_shard(self, pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        return {"values": merged_rows(shards, "values"), "layers": shards[0]["layers"]}

    def collector(self, texts: Texts, depth: int) -> _ValueCollector:
        return _ValueCollector(self, texts, resolve_layers(self.layers, depth))


@dataclass(frozen=True)
class ActivationTags:
    """Which (layer, neuron) pairs each example strongly activates: a sparse binary matrix.

    A neuron is on where its pooled value exceeds a threshold; of ffn_prod the absolute value is compared. The rules:

    - quantile: one threshold per layer, such that the share `level` of all (text, neuron) entries is on. It is
      calibrated on 1,024 distinct texts chosen at random, or on all distinct texts if there are no more.
    - absolute: the threshold is `level`.
    - top_m: the `level` largest neurons of each layer are on in each text; ties go to the lower neuron.

    Feature: the matrix in CSR form as `indptr` (N + 1), `indices` (column numbers, ascending within a row) and `shape`
    (N, columns); neuron j of the i-th chosen layer is column i * width + j. `layers` (the 0-based numbers of the
    blocks), `thresholds` (NaN for top_m) and `on_share` (share of entries that are on) have one number per layer.

    Raises UserError for an option that is not valid.
    """

    capture: Capture = "ffn_gate"  # this and the next three: as in PooledActivations
    layers: str = "middle"
    positions: Positions = "prompt"
    pooling: Pooling = "mean"
    threshold: NeuronThreshold = "quantile"  # the rule by which a neuron is on
    level: float = 0.01  # what the rule needs: a share, a value, or a number of neurons
    response: bool = False  # whether the scorer reads the response after the prompt

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positions_readable(self.capture, self.positions, self.pooling, self.response)
        if self.threshold not in THRESHOLDS:
            raise UserError(unknown("threshold", self.threshold, THRESHOLDS))
        if self.threshold == "quantile" and not 0 < self.level < 1:
            raise UserError(f"rho={self.level} is not a share of cells: it must be above 0 and below 1.")
        if self.threshold == "top_m" and (self.level < 1 or self.level != int(self.level)):
            raise UserError(f"top_m={self.level} is not a number of neurons: it must be a whole number of at least 1.")

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        """For threshold=absolute as if a hundredth were on: how many exceed a value is not known before."""
        width = model.width if self.capture == "resid" else model.inner
        on = {"top_m": self.level, "quantile": self.level * width, "absolute": 0.01 * width}[self.threshold]
        entries = pool.examples * len(resolve_layers(self.layers, model.layers)) * on
        return FeatureSize(read_tokens(pool, self.response), csr_bytes(pool.examples, entries))

    @property
    def calibrated(self) -> bool:
        return self.threshold == "quantile"

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        return compute_shard(self, pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        layers, thresholds, columns = shards[0]["layers"], shards[0]["thresholds"], int(shards[0]["shape"][1])
        return _tags(*merged_sparse_rows(shards), layers, thresholds, columns // len(layers))

    def collector(self, texts: Texts, depth: int) -> _NeuronTagCollector:
        return _NeuronTagCollector(self, texts, resolve_layers(self.layers, depth))


def _check_positions_readable(capture: str, positions: str, pooling: str, response: bool) -> None:
    """Raise UserError for an option that is not valid, or for positions in a response that is not read."""
    check_reading(capture, positions, pooling)
    if positions == "response" and not response:
        raise UserError("positions=response needs a text with the response: set response to true.")


class _ValueCollector:
    """Collects PooledActivations."""

    kept = ("values",)

    def __init__(self, spec: PooledActivations, texts: Texts, layers: list[int]) -> None:
        self.readings = [Reading(spec.capture, layer, spec.positions, spec.pooling) for layer in layers]
        self.texts, self.layers, self.dtype = texts, layers, spec.dtype
        self.values = np.zeros((0, len(layers), 0), self.dtype)

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        for place, reading in enumerate(self.readings):
            read = pooled[reading].numpy()
            if not self.values.size:
                self.values = np.zeros((len(self.texts.distinct), len(self.layers), read.shape[1]), self.dtype)
            self.values[batch, place] = read

    def result(self) -> Feature:
        of = self.texts.of
        # With every text distinct and in order, indexing would only copy the largest array of the feature.
        distinct = len(of) == len(self.texts.distinct) and np.array_equal(of, np.arange(len(of)))
        return {"values": self.values if distinct else self.values[of], "layers": np.array(self.layers)}


class _NeuronTagCollector:
    """Collects ActivationTags. Pooled values are kept only until the thresholds are calibrated."""

    kept = ("thresholds", "waiting", "rows", "width")

    def __init__(self, spec: ActivationTags, texts: Texts, layers: list[int]) -> None:
        self.readings = [Reading(spec.capture, layer, spec.positions, spec.pooling) for layer in layers]
        self.spec, self.texts, self.layers = spec, texts, layers
        self.thresholds = np.full(len(layers), spec.level if spec.threshold == "absolute" else np.nan, np.float32)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []  # batches read before the thresholds are known
        self.rows: list[np.ndarray | None] = [None] * len(texts.distinct)
        self.width = 0

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        values = np.stack([pooled[reading].numpy() for reading in self.readings], axis=1)  # B x layers x width
        if self.spec.capture == "ffn_prod":
            values = np.abs(values)
        self.width = values.shape[2]
        if self.spec.threshold == "quantile" and np.isnan(self.thresholds).any():
            self.waiting.append((batch, values))
            # The calibration texts fill whole batches at the start of the pass, so their number is met exactly.
            if sum(len(rows) for rows, _ in self.waiting) == self.texts.calibration:
                self._calibrate_thresholds()
        else:
            self._mark_active_neurons(batch, values)

    def _calibrate_thresholds(self) -> None:
        for place in range(len(self.layers)):
            pooled = np.concatenate([values[:, place].ravel() for _, values in self.waiting])
            self.thresholds[place] = threshold_for_share(pooled, self.spec.level)
        for batch, values in self.waiting:
            self._mark_active_neurons(batch, values)
        self.waiting = []

    def _mark_active_neurons(self, batch: np.ndarray, values: np.ndarray) -> None:
        if self.spec.threshold == "top_m":
            on = is_among_largest(values, int(self.spec.level))
        else:
            on = values > self.thresholds[None, :, None]
        flat = on.reshape(len(batch), -1)
        which, columns = np.nonzero(flat)
        ends = np.cumsum(np.bincount(which, minlength=len(batch)))
        for row, part in zip(batch, np.split(columns.astype(np.int32), ends[:-1])):
            self.rows[row] = part

    def result(self) -> Feature:
        rows: list[Any] = [self.rows[i] for i in self.texts.of]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return _tags(indptr, np.concatenate(rows), np.array(self.layers), self.thresholds, self.width)


def _tags(indptr: np.ndarray, indices: np.ndarray, layers: np.ndarray, thresholds: np.ndarray, width: int) -> Feature:
    """The feature ActivationTags with these sparse rows, of layers with `width` neurons each."""
    per_layer = np.bincount(indices // width, minlength=len(layers))
    return {
        "indptr": indptr,
        "indices": indices,
        "shape": np.array([len(indptr) - 1, len(layers) * width]),
        "layers": layers,
        "thresholds": thresholds,
        "on_share": per_layer / ((len(indptr) - 1) * width),
    }


def threshold_for_share(values: np.ndarray, share: float) -> np.float32:
    """The threshold that floor(share * number) of the values exceed; none exceeds it if that number is 0.

    It lies half way between the lowest value above it and the highest below, so that rounding moves none across it.
    """
    on = int(share * len(values))
    if on == 0:
        highest: np.float32 = values.max()
        return highest
    place = len(values) - on
    parted = np.partition(values, [place - 1, place])
    middle: np.float32 = np.float32((np.float64(parted[place - 1]) + np.float64(parted[place])) / 2)
    return middle


def is_among_largest(values: np.ndarray, m: int) -> np.ndarray:
    """Booleans of the shape of `values`: whether an entry is among the m largest of the last axis; ties go to the lower place."""
    width = values.shape[-1]
    if m >= width:
        return np.ones(values.shape, bool)
    least = np.partition(values, width - m, axis=-1)[..., width - m, None]
    above, equal = values > least, values == least
    largest: np.ndarray = above | (equal & (np.cumsum(equal, axis=-1) <= m - above.sum(axis=-1, keepdims=True)))
    return largest
