"""Directions in activation space (NAIT): found on a few target examples; the pool's activations are projected on them.

The activations of the pool are never held: each batch is projected as it is read, and only the products are kept.
The method is described in docs/methods/nait.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.errors import UserError, unknown
from selbench.features.activations import PooledActivations
from selbench.features.extractor import compute_many, compute_shard
from selbench.features.forward import Capture, Reading, check_reading
from selbench.features.layers import resolve_layers
from selbench.features.reducers import Pooling, Positions
from selbench.features.shards import merged_rows
from selbench.features.texts import Texts
from selbench.sizes import FeatureSize, ModelShape, PoolSize, read_tokens

if TYPE_CHECKING:
    from torch import Tensor


Sign = Literal["without_first", "drift"]
# What is left of a pooling that subtracts the first token when it is not subtracted.
WITHOUT_FIRST: dict[str, Pooling] = {"last_minus_first": "last", "mean_minus_first": "mean"}


@dataclass(frozen=True)
class Directions:
    """Per layer, the first principal component of a pool's pooled activations, turned to point along a mean of them.

    With several components the direction is their sum, each of length 1, so that a projection on it is the sum of the
    projections. The pool's activations (N x layers x width) are held while the directions are computed.

    Feature: `directions` (layers x width); `alignment` and `margin`, which tell how sure each sign is, and
    `sign_differs`, whether the other choice of `sign` would have given the other one (layers x components, see
    PrincipalDirection); `explained`, the share of the variance along the components (one number per layer); and
    `layers` (the 0-based numbers of the blocks).

    Raises UserError for an option that is not valid.
    """

    capture: Capture = "resid"  # this and the next four: as in PooledActivations
    layers: str = "all"
    positions: Positions = "every"
    pooling: Pooling = "last_minus_first"
    response: bool = True
    components: int = 1  # how many principal components are added up
    # Which mean the components point along: that of the pooled activations (drift), or of what is left where the first token is
    # not subtracted. A first token that is the same in every text adds a constant to the former, which may outweigh the rest.
    sign: Sign = "without_first"
    centred: bool = True  # whether the mean is subtracted before the components are taken

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._pooled_activations(self.pooling)
        if self.components < 1:
            raise UserError(f"components={self.components}: a direction has at least 1 component.")
        if self.sign not in get_args(Sign):
            raise UserError(unknown("sign", self.sign, get_args(Sign)))

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        layers = len(resolve_layers(self.layers, model.layers))
        return FeatureSize(read_tokens(pool, self.response), 4.0 * layers * model.width)

    def compute(self, pool: Pool, context: Context) -> Feature:
        poolings: list[Pooling] = [self.pooling, WITHOUT_FIRST.get(self.pooling, self.pooling)]
        drifts, tokens = compute_many([self._pooled_activations(one) for one in poolings], pool, context)
        places = range(len(drifts["layers"]))
        found = [self._direction(drifts["values"][:, place], tokens["values"][:, place]) for place in places]
        arrays: dict[str, np.ndarray] = {
            name: np.array(column) for name, column in zip(PrincipalDirection._fields, zip(*found))
        }
        return {**arrays, "layers": drifts["layers"]}

    def _direction(self, drifts: np.ndarray, tokens: np.ndarray) -> PrincipalDirection:
        along, other = (tokens, drifts) if self.sign == "without_first" else (drifts, tokens)
        return principal_direction(drifts, self.components, along=along, other=other, centred=self.centred)

    def _pooled_activations(self, pooling: Pooling) -> PooledActivations:
        return PooledActivations(self.capture, self.layers, self.positions, pooling, self.response)


class PrincipalDirection(NamedTuple):
    """The direction of one layer, and how sure the sign of each of its C components v is.

    A margin below about 2 means that other examples of the same kind might well have given v the other sign.
    """

    directions: np.ndarray  # width numbers: the sum of the C components
    alignment: np.ndarray  # C numbers: |mean . v| / (|mean| |v|), from 0 to 1
    margin: np.ndarray  # C numbers: |mean . v| in standard errors
    sign_differs: np.ndarray  # C booleans: whether the mean of `other` would have turned v the other way
    explained: float  # share of the variance of the rows along the components


def principal_direction(
    rows: np.ndarray,
    components: int,
    *,
    along: np.ndarray | None = None,
    other: np.ndarray | None = None,
    centred: bool = True,
) -> PrincipalDirection:
    """The sum of the first principal components of `rows` (P x width), each turned to point along the mean of `along`.

    Rows that are all equal have no principal component about their mean. Their direction is that of their mean (the
    first component without centring), or zero if the rows are zero; `explained` is then 0.

    Args:
        rows: the vectors of P examples.
        components: how many components are added up.
        along: P x width, whose mean gives the sign; None for `rows`.
        other: P x width, whose mean is compared with that; None for `along`.
        centred: whether the mean row is subtracted first.
    """
    rows = rows.astype(np.float64)
    along = rows if along is None else along.astype(np.float64)
    other = along if other is None else other.astype(np.float64)
    mean, way = rows.mean(0), along.mean(0)
    length = np.linalg.norm(way)
    moved = rows - mean if centred else rows
    squares, found = _leading_components(
        moved, components, noise=float(np.finfo(np.float32).eps * np.linalg.norm(rows))
    )
    alignment, margin, differs = np.zeros(components), np.zeros(components), np.zeros(components, bool)
    if not len(found):
        drift = float(np.linalg.norm(mean))
        if drift > 0:
            alignment[:], margin[:] = 1, np.inf
        return PrincipalDirection(mean / drift if drift > 0 else mean, alignment, margin, differs, 0.0)
    towards = found @ way
    # A mean that is orthogonal to v gives it no sign. Its largest entry is then made positive, so that the result does
    # not depend on the linear algebra library.
    signs = np.sign(np.where(towards == 0, found[np.arange(len(found)), np.abs(found).argmax(1)], towards))
    errors = (along @ found.T).std(0) / np.sqrt(max(len(rows) - 1, 1))
    alignment[: len(found)] = np.abs(towards) / length if length > 0 else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        margin[: len(found)] = np.where(errors > 0, np.abs(towards) / errors, np.inf)
    differs[: len(found)] = signs * (found @ other.mean(0)) < 0
    # Components beyond the rank of the rows are zero; their sign cannot be wrong.
    alignment[len(found) :], margin[len(found) :] = 1, np.inf
    explained = float(np.sum(squares) / np.sum(np.square(moved)))
    return PrincipalDirection(signs @ found, alignment, margin, differs, explained)


def _leading_components(centred: np.ndarray, most: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """The largest singular values of `centred`, squared, and their right singular vectors (rows), in descending order.

    At most `most` of them, and only singular values above `noise`. They are computed from the smaller Gram matrix,
    because a full decomposition for 4,096 examples of width 4,096 would take minutes per layer.
    """
    from scipy.linalg import eigh

    wide = centred.shape[0] <= centred.shape[1]
    gram = centred @ centred.T if wide else centred.T @ centred
    size = len(gram)
    squares, vectors = eigh(gram, subset_by_index=(max(size - most, 0), size - 1))
    kept = np.flatnonzero(squares > noise**2)[::-1]
    squares, vectors = squares[kept], vectors[:, kept].T
    return squares, vectors @ centred / np.sqrt(squares)[:, None] if wide else vectors


@dataclass(frozen=True)
class Projections:
    """Dot products of each example's pooled activations with C given directions per layer.

    Feature: `projections` (N x layers x C), `norms` (N x layers, the lengths of the pooled activations), `tokens` (N
    integers, the length of each text in tokens) and `layers` (the 0-based numbers of the blocks).
    """

    directions: np.ndarray = field(
        compare=False, repr=False
    )  # C x layers x width, of these `layers` and this `capture`
    capture: Capture = "resid"  # this and the next four: as in PooledActivations
    layers: str = "all"
    positions: Positions = "every"
    pooling: Pooling = "last_minus_first"
    response: bool = True
    onto: str = field(init=False, default="")  # hash of the directions: stands for them when specs are compared

    needs_scorer: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_reading(self.capture, self.positions, self.pooling)
        content = repr((self.directions.shape, self.directions.dtype.str)).encode() + self.directions.tobytes()
        object.__setattr__(self, "onto", hashlib.sha256(content).hexdigest())

    def identity(self) -> dict[str, Any]:
        """What the values depend on: all fields, with a hash in place of the directions."""
        return {name: value for name, value in vars(self).items() if name != "directions"}

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        layers = len(resolve_layers(self.layers, model.layers))
        numbers = (
            layers * (len(self.directions) + 1) + 2
        )  # projections and norm of each layer, and the tokens in 8 bytes
        return FeatureSize(read_tokens(pool, self.response), 4.0 * numbers * pool.examples)

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        return compute_shard(self, pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        rows = {name: merged_rows(shards, name) for name in ("projections", "norms", "tokens")}
        return {**rows, "layers": shards[0]["layers"]}

    def collector(self, texts: Texts, depth: int) -> _ProjectionCollector:
        return _ProjectionCollector(self, texts, resolve_layers(self.layers, depth))


class _ProjectionCollector:
    """Collects Projections: layers x (C + 1) numbers per text, however wide the activations are."""

    kept = ("values", "norms")

    def __init__(self, spec: Projections, texts: Texts, layers: list[int]) -> None:
        self.readings = [Reading(spec.capture, layer, spec.positions, spec.pooling) for layer in layers]
        self.texts, self.layers = texts, layers
        self.directions = spec.directions.astype(np.float32)
        self.values = np.zeros((len(texts.distinct), len(layers), len(self.directions)), np.float32)
        self.norms = np.zeros((len(texts.distinct), len(layers)), np.float32)

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        for place, reading in enumerate(self.readings):
            read = pooled[reading].numpy()
            self.values[batch, place] = read @ self.directions[:, place].T
            self.norms[batch, place] = np.linalg.norm(read, axis=1)

    def result(self) -> Feature:
        lengths = np.array([len(text.ids) for text in self.texts.distinct])
        of = self.texts.of
        return {
            "projections": self.values[of],
            "norms": self.norms[of],
            "tokens": lengths[of],
            "layers": np.array(self.layers),
        }
