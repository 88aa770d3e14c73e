"""Features read from the scorer's activations: binary tags (MADS), or the pooled values themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.errors import UserError, unknown
from selbench.features.extractor import compute_many
from selbench.features.forward import Capture, Reading, check_reading
from selbench.features.layers import resolve_layers
from selbench.features.reducers import Pooling, Positions
from selbench.features.texts import Texts

if TYPE_CHECKING:
    from torch import Tensor

NeuronThreshold = Literal["quantile", "absolute", "top_m"]
THRESHOLDS = get_args(NeuronThreshold)


@dataclass(frozen=True)
class PooledActivations:
    """One vector per example and layer.

    `capture`: ffn_gate = act(gate(x)), ffn_prod = act(gate(x)) * up(x), ffn_up_abs = |up(x)|, or resid, the output of
    the block (before any final norm, also at the last block). `layers`: see layers.py. `positions` and `pooling`: see
    reducers.py. `response`: whether the model reads the response after the prompt. `dtype`: float32 or float16.

    Gives `values` (N x layers x width) and `layers` (their numbers).
    """

    capture: Capture = "resid"
    layers: str = "all"
    positions: Positions = "prompt"
    pooling: Pooling = "mean"
    response: bool = False
    dtype: str = "float32"

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_positions_readable(self.capture, self.positions, self.pooling, self.response)
        if self.dtype not in ("float32", "float16"):
            raise UserError(unknown("dtype", self.dtype, ("float32", "float16")))

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def collector(self, texts: Texts, depth: int) -> _ValueCollector:
        return _ValueCollector(self, texts, resolve_layers(self.layers, depth))


@dataclass(frozen=True)
class ActivationTags:
    """Which (layer, neuron) pairs each example strongly activates: a sparse binary matrix.

    A neuron is on where its pooled value is above a threshold. `threshold` says which:
    quantile: per layer, so that the share `level` of all (text, neuron) cells is on, calibrated on a random 1,024 of
    the distinct texts (on all of them where there are no more). absolute: the value `level` itself.
    top_m: the `level` largest of each layer in each text, equals to the lower neuron.
    The other fields are those of PooledActivations; ffn_prod is compared by its absolute value.

    Gives CSR rows, `indptr` (N + 1) and `indices` (column = place of the layer among `layers` * width + neuron, rising
    in a row), with `shape`; `layers` (their numbers), `thresholds` and `on_share` (share of cells on), each per layer.
    """

    capture: Capture = "ffn_gate"
    layers: str = "middle"
    positions: Positions = "prompt"
    pooling: Pooling = "mean"
    threshold: NeuronThreshold = "quantile"
    level: float = 0.01
    response: bool = False

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

    def collector(self, texts: Texts, depth: int) -> _NeuronTagCollector:
        return _NeuronTagCollector(self, texts, resolve_layers(self.layers, depth))


def _check_positions_readable(capture: str, positions: str, pooling: str, response: bool) -> None:
    check_reading(capture, positions, pooling)
    if positions == "response" and not response:
        raise UserError("positions=response needs a text with the response: set response to true.")


class _ValueCollector:
    """Collects the values of PooledActivations."""

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
        distinct = len(of) == len(self.texts.distinct) and np.array_equal(of, np.arange(len(of)))
        return {"values": self.values if distinct else self.values[of], "layers": np.array(self.layers)}


class _NeuronTagCollector:
    """Collects the cells of ActivationTags. Pooled values are kept only until the thresholds are calibrated."""

    kept = ("thresholds", "waiting", "rows", "width")

    def __init__(self, spec: ActivationTags, texts: Texts, layers: list[int]) -> None:
        self.readings = [Reading(spec.capture, layer, spec.positions, spec.pooling) for layer in layers]
        self.spec, self.texts, self.layers = spec, texts, layers
        self.thresholds = np.full(len(layers), spec.level if spec.threshold == "absolute" else np.nan, np.float32)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.rows: list[np.ndarray | None] = [None] * len(texts.distinct)
        self.width = 0

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        values = np.stack([pooled[reading].numpy() for reading in self.readings], axis=1)  # B x layers x width
        if self.spec.capture == "ffn_prod":
            values = np.abs(values)
        self.width = values.shape[2]
        if self.spec.threshold == "quantile" and np.isnan(self.thresholds).any():
            self.waiting.append((batch, values))
            if sum(len(rows) for rows, _ in self.waiting) == self.texts.calibration:
                self._calibrate_thresholds()
        else:
            self._mark_active_neurons(batch, values)

    def _calibrate_thresholds(self) -> None:
        for place in range(len(self.layers)):
            cells = np.concatenate([values[:, place].ravel() for _, values in self.waiting])
            self.thresholds[place] = threshold_for_share(cells, self.spec.level)
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
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        indices = np.concatenate(rows)
        per_layer = np.bincount(indices // self.width, minlength=len(self.layers))
        return {
            "indptr": indptr.astype(np.int64),
            "indices": indices,
            "shape": np.array([len(rows), len(self.layers) * self.width]),
            "layers": np.array(self.layers),
            "thresholds": self.thresholds,
            "on_share": per_layer / (len(rows) * self.width),
        }


def threshold_for_share(cells: np.ndarray, share: float) -> np.float32:
    """A value that floor(share * number) of the cells exceed: half way to the next cell below, away from rounding."""
    on = int(share * len(cells))
    if on == 0:
        highest: np.float32 = cells.max()
        return highest
    place = len(cells) - on
    parted = np.partition(cells, [place - 1, place])
    middle: np.float32 = np.float32((np.float64(parted[place - 1]) + np.float64(parted[place])) / 2)
    return middle


def is_among_largest(values: np.ndarray, m: int) -> np.ndarray:
    """Booleans like `values`: the m largest along the last axis, equals to the lower place."""
    width = values.shape[-1]
    if m >= width:
        return np.ones(values.shape, bool)
    least = np.partition(values, width - m, axis=-1)[..., width - m, None]
    above, equal = values > least, values == least
    largest: np.ndarray = above | (equal & (np.cumsum(equal, axis=-1) <= m - above.sum(axis=-1, keepdims=True)))
    return largest
