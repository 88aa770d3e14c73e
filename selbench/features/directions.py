"""Directions in activation space: found on a few target examples (NAIT), and a pool's activations projected on them.

Neither side holds the activations of the pool: a batch is projected as it goes by, and only the products are kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.errors import UserError
from selbench.features.activations import PooledActivations
from selbench.features.extractor import compute_many
from selbench.features.forward import Capture, Reading, check_reading
from selbench.features.layers import resolve_layers
from selbench.features.reducers import Pooling, Positions
from selbench.features.texts import Texts

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Directions:
    """Per layer, the first principal component of a pool's pooled activations, signed like their mean.

    With several `components`, their sum: projecting on it adds up the projections. Each one has length 1. The other
    fields are those of PooledActivations, whose N x layers x width values are held while this is computed.

    Gives `directions` (layers x width); how sure each sign is, `alignment` and `margin` (layers x components, see
    Principal); `explained`, the share of the variance that the components hold (layers); and `layers` (their numbers).
    """

    capture: Capture = "resid"
    layers: str = "all"
    positions: Positions = "every"
    pooling: Pooling = "last_minus_first"
    response: bool = True
    components: int = 1

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._activations()
        if self.components < 1:
            raise UserError(f"components={self.components}: a direction has at least 1 component.")

    def compute(self, pool: Pool, context: Context) -> Feature:
        read = compute_many([self._activations()], pool, context)[0]
        found = [principal(read["values"][:, place], self.components) for place in range(len(read["layers"]))]
        arrays: dict[str, np.ndarray] = {name: np.array(column) for name, column in zip(Principal._fields, zip(*found))}
        return {**arrays, "layers": read["layers"]}

    def _activations(self) -> PooledActivations:
        return PooledActivations(self.capture, self.layers, self.positions, self.pooling, self.response)


class Principal(NamedTuple):
    """What `principal` finds in one layer.

    `alignment` is |mean . v| / (|mean| |v|) of each component v, from 0 to 1. `margin` is |mean . v| in its standard
    errors: below about 2, other examples of the same kind might well have given v the other sign.
    """

    directions: np.ndarray
    alignment: np.ndarray
    margin: np.ndarray
    explained: float


def principal(rows: np.ndarray, components: int) -> Principal:
    """The summed first principal components of `rows` (P x width), each turned so that the mean row points along it.

    Rows that do not differ (one example, or one many times) have no principal component. Their direction is that of
    their mean, the first component of uncentred rows, with an `explained` of 0; it is zero if they are.
    """
    rows = rows.astype(np.float64)
    mean = rows.mean(0)
    length = np.linalg.norm(mean)
    variances, found = _components(
        rows - mean, components, noise=float(np.finfo(np.float32).eps * np.linalg.norm(rows))
    )
    alignment, margin = np.zeros(components), np.zeros(components)
    if not len(found):
        if length > 0:
            alignment[:], margin[:] = 1, np.inf
        return Principal(mean / length if length > 0 else mean, alignment, margin, 0.0)
    along = found @ mean
    # A mean exactly across v decides nothing; the largest entry then does, the same with every linear algebra library.
    signs = np.sign(np.where(along == 0, found[np.arange(len(found)), np.abs(found).argmax(1)], along))
    errors = np.sqrt(variances / (len(rows) * (len(rows) - 1)))
    alignment[: len(found)] = np.abs(along) / length if length > 0 else 0
    margin[: len(found)] = np.abs(along) / errors
    # Components beyond the rank of the rows are zero and cannot be signed wrongly.
    alignment[len(found) :], margin[len(found) :] = 1, np.inf
    explained = float(np.sum(variances) / np.sum(np.square(rows - mean)))
    return Principal(signs @ found, alignment, margin, explained)


def _components(centred: np.ndarray, most: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """The squared singular values and right singular vectors (rows) of `centred` above `noise`, largest first.

    From the smaller Gram matrix: for 4,096 examples of width 4,096 a full decomposition would take minutes per layer.
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

    `directions` is C x layers x width, as Directions gives them for these `layers` and this `capture`; the other
    fields are those of PooledActivations.

    Gives `projections` (N x layers x C), `tokens` (N: the length of each text), and `layers` (their numbers).
    """

    directions: np.ndarray = field(compare=False, repr=False)
    capture: Capture = "resid"
    layers: str = "all"
    positions: Positions = "every"
    pooling: Pooling = "last_minus_first"
    response: bool = True
    onto: str = field(init=False, default="")  # the directions' hash, by which specs are told apart

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_reading(self.capture, self.positions, self.pooling)
        told = repr((self.directions.shape, self.directions.dtype.str)).encode() + self.directions.tobytes()
        object.__setattr__(self, "onto", hashlib.sha256(told).hexdigest())

    def identity(self) -> dict[str, Any]:
        """What the values depend on: all fields, the directions by their hash."""
        return {name: value for name, value in vars(self).items() if name != "directions"}

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def collector(self, texts: Texts, depth: int) -> _Projected:
        return _Projected(self, texts, resolve_layers(self.layers, depth))


class _Projected:
    """Collects Projections: layers x C numbers per text, whatever the width."""

    kept = ("values",)

    def __init__(self, spec: Projections, texts: Texts, layers: list[int]) -> None:
        self.readings = [Reading(spec.capture, layer, spec.positions, spec.pooling) for layer in layers]
        self.texts, self.layers = texts, layers
        self.directions = spec.directions.astype(np.float32)
        self.values = np.zeros((len(texts.distinct), len(layers), len(self.directions)), np.float32)

    def add(self, batch: np.ndarray, pooled: dict[Reading, Tensor]) -> None:
        for place, reading in enumerate(self.readings):
            self.values[batch, place] = pooled[reading].numpy() @ self.directions[:, place].T

    def result(self) -> Feature:
        lengths = np.array([len(text.ids) for text in self.texts.distinct])
        of = self.texts.of
        return {"projections": self.values[of], "tokens": lengths[of], "layers": np.array(self.layers)}
