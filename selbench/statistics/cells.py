"""The scores of cells over seeds: a cell is one arm in one table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The scores of C cells (an arm in a table) over S seeds, and numbers that are equal for cells that share a part."""

    scores: Floats  # C x S, NaN for a missing seed; a fixed cell has its one score in every column
    fixed: NDArray[np.bool_]  # whether the arm has no seed at all, and so no seed noise (the base model)
    setting: Ints  # number of the setting
    table: Ints  # number of the table
    arm: Ints  # number of the arm
    measure: Ints | None = None  # number of what is measured, in which units; None: the same for all cells
    origin: Ints | None = None  # number of the model, pool and trainer; None: the same for all cells
    training: Ints | None = None  # number of what can be one training: origin and budget; None: each table its own

    @property
    def seeds(self) -> Floats:
        """C numbers of seeds; 1 for a fixed cell."""
        return np.where(self.fixed, 1, np.isfinite(self.scores).sum(1)).astype(float)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which cells have one score under several seeds, at the end of their measure's range: a floor or a ceiling.

        Such a cell shows no noise, whatever it is. Equal scores within the range happen where scores have coarse steps.
        """
        even = ~self.fixed & (row_variances(self.scores) == 0)
        measure = np.zeros_like(self.setting) if self.measure is None else self.measure
        middle = row_means(self.scores)
        found = np.zeros(len(even), dtype=bool)
        for one in np.unique(measure[even]):
            here = measure == one
            known = self.scores[here][np.isfinite(self.scores[here])]
            ends = np.isclose(middle, known.min(), rtol=1e-9, atol=0) | np.isclose(
                middle, known.max(), rtol=1e-9, atol=0
            )
            found |= even & here & ends
        return found


def row_means(rows: Floats) -> Floats:
    """The mean of each row, NaN left out; NaN for a row without numbers."""
    count = np.isfinite(rows).sum(1)
    return np.divide(np.nansum(rows, 1), count, out=np.full(len(rows), np.nan), where=count > 0)


def row_variances(rows: Floats) -> Floats:
    """The sample variance (n - 1) of each row, NaN left out.

    NaN for fewer than two values; 0 if the values differ by no more than rounding.
    """
    count = np.isfinite(rows).sum(1)
    squares = np.nansum((rows - row_means(rows)[:, None]) ** 2, 1)
    squares = np.where(squares > 1e-20 * np.nansum(rows**2, 1), squares, 0.0)
    return np.divide(squares, count - 1, out=np.full(len(rows), np.nan), where=count > 1)
