"""The seed noise of the cells of a board: each cell's own variance, drawn towards what the other cells predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selbench.statistics.borrowing import Borrowed, Prior
from selbench.statistics.cells import Cells, row_variances
from selbench.statistics.seed_effects import own_spread
from selbench.statistics.training_luck import shared_luck

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# A board of more cells is fitted in parts of about this size, each of whole settings: time grows with the cube.
PART = 300


@dataclass(frozen=True)
class PairNoise:
    """The variances of one score of either cell of P pairs, elementwise; NaN with 0 degrees of freedom if unknown."""

    a: Floats
    b: Floats
    df_a: Floats
    df_b: Floats
    prior_a: Floats  # how many of `df_a` are borrowed
    prior_b: Floats
    shared: Floats  # covariance of the relative errors of `a` and `b`


class SeedNoise:
    """The moderated variances of the C cells of a board.

    A difference of two arms of a table is free of what they share under a seed; the score of one arm, and a
    difference across tables, is not. So there are two fits, of the variances within and without seed effects.
    """

    def __init__(self, cells: Cells) -> None:
        size = len(cells.setting)
        self._measure = np.zeros(size, np.int64) if cells.measure is None else cells.measure
        self._origin = np.zeros(size, np.int64) if cells.origin is None else cells.origin
        self._training = cells.table if cells.training is None else cells.training
        self._cells, self.constant = cells, cells.constant
        self._floor = _steps(cells.scores, self._measure) ** 2 / 12
        self._parts = [np.flatnonzero(np.isin(cells.setting, some)) for some in _parts(cells.setting)]
        self._place = np.zeros(size, np.int64)
        self._part = np.zeros(size, np.int64)
        for number, part in enumerate(self._parts):
            self._place[part], self._part[part] = np.arange(len(part)), number
        self._fits: dict[bool, list[Borrowed]] = {}

    @property
    def outlying(self) -> Flags:
        """Which cells are so much noisier than predicted that they stand by themselves."""
        found = np.zeros(len(self._place), bool)
        for part, fit in zip(self._parts, self._fitted(True)):
            found[part] = fit.outlying
        return found

    def of_cells(self) -> tuple[Floats, Floats, Floats]:
        """Of each cell's score under one seed: the variance, its degrees of freedom, and how many are borrowed."""
        found = np.zeros((3, len(self._place)))
        for part, fit in zip(self._parts, self._fitted(False)):
            every = np.arange(len(part))
            found[:, part] = self._towards_prior(fit, every, part, fit.prior_of_cells(every))
        return found[0], found[1], found[2]

    def of_pairs(self, a: Ints, b: Ints, within: Flags) -> PairNoise:
        """The variances for P pairs; `within` says which are compared without the seed effects of their table."""
        found = np.zeros((7, len(a)))
        for free in (True, False):
            for number, fit in self._fits_of(free, self._part[a[within == free]]):
                here = np.flatnonzero((within == free) & (self._part[a] == number))
                i, j = self._place[a[here]], self._place[b[here]]
                prior = fit.prior_of_pairs(i, j)
                va, fa, pa = self._towards_prior(fit, i, a[here], prior.a)
                vb, fb, pb = self._towards_prior(fit, j, b[here], prior.b)
                share = np.divide(pa * pb, fa * fb, out=np.zeros(len(here)), where=fa * fb > 0)
                found[:, here] = va, vb, fa, fb, pa, pb, share * prior.shared
        return PairNoise(*found)

    def _towards_prior(self, fit: Borrowed, i: Ints, cell: Ints, prior: Prior) -> tuple[Floats, Floats, Floats]:
        """The mean of own and prior variance, weighted by degrees of freedom (Smyth 2004, section 3), and these."""
        own = fit.own_df[i]
        total = own + prior.df
        mean = (np.where(own > 0, own * np.nan_to_num(fit.variance[i]), 0.0) + prior.df * prior.s2) / np.maximum(
            total, 1e-9
        )
        return np.where(total > 0, np.maximum(mean, self._floor[cell]), np.nan), total, prior.df

    def _fits_of(self, free: bool, parts: Ints) -> Iterator[tuple[int, Borrowed]]:
        needed = np.unique(parts).tolist()
        return ((number, self._fitted(free)[number]) for number in needed)

    def _fitted(self, free: bool) -> list[Borrowed]:
        if free not in self._fits:
            self._fits[free] = [self._fit(part, free) for part in self._parts]
        return self._fits[free]

    def _fit(self, part: Ints, free: bool) -> Borrowed:
        cells = self._cells
        scores = np.where(cells.fixed[part, None], np.nan, cells.scores[part])
        table = cells.table[part]

        def spread(weight: Floats) -> tuple[Floats, Floats]:
            if free:
                return own_spread(scores, table, weight)
            df = np.maximum(np.isfinite(scores).sum(1) - 1.0, 0.0)
            return row_variances(scores), df

        luck = shared_luck(scores, table, cells.arm[part], self._origin[part], self._training[part])
        return Borrowed(
            spread, self._measure[part], cells.setting[part], table, cells.arm[part], luck, self.constant[part]
        )


def _parts(setting: Ints) -> list[Ints]:
    """The settings in parts of about PART cells."""
    names, counts = np.unique(setting, return_counts=True)
    number = np.minimum((np.cumsum(counts) - 1) // PART, max(int(counts.sum()) // PART - 1, 0))
    return [names[number == one] for one in np.unique(number)]


def _steps(scores: Floats, measure: Ints) -> Floats:
    """For each cell, the smallest difference between two scores of its measure: scores cannot be known more finely."""
    found = np.zeros(len(scores))
    for one in np.unique(measure):
        values = np.unique(scores[measure == one])
        values = values[np.isfinite(values)]
        gaps = np.diff(values)
        gaps = gaps[gaps > 1e-9 * np.abs(values).max(initial=0.0)]
        found[measure == one] = gaps.min(initial=np.inf) if len(gaps) else 0.0
    return found
