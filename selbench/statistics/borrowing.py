"""The prior of the moderated test: the seed variance of an arm, predicted from the other cells of a board.

Smyth (2004, section 6) takes one prior variance for all cells, sigma^2 ~ d0 s0^2 / chi^2(d0), and estimates d0 and s0
from the mean and the variance of the log sample variances. One prior for all does not fit here: arms differ (on the
published scores, random selection varies 1.6 times as much from seed to seed as the other arms) and so do measures (by
a factor of 8 from task to task, by more from accuracy to perplexity). So the log variances follow a crossed
random-effects model, which is ours,

    log sigma^2 = measure + setting + table + arm + rest,     log s^2 = log sigma^2 + psi(d/2) - log(d/2) + noise,

where the noise has variance psi'(d/2). The effects of measures and arms are left free (given a very wide prior); the
variances of the other components are estimated by moments, as in Smyth, from the mean squared differences between
cells that share a setting, a table or an arm. The best linear prediction of a cell's log sigma^2 *from all other
cells* gives s0^2, and psi'(d0/2) = variance of the prediction gives d0: the less is known about a cell, the smaller
d0, and the less its variance is drawn towards the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Prior means and standard deviations of the variance components (setting, table, arm, rest) of the log variance. The
# 1,000 cells of the published scores of tis_tulu-v2 give 0.4, 0.2, 0.3 and 0.8.
EXPECTED = np.array([1.0, 0.1, 0.3, 0.8])
FIRMNESS = np.array([1.0, 0.2, 0.3, 0.4])
# The smallest variance of the arm effect in a prediction, so wide that arms are hardly drawn towards each other. With
# the estimate from the few arms of a board, an arm that varies three times as much as the others (as random selection
# does) had 13 % false verdicts at a level of 5 % (docs/verdicts.md).
ANY_ARM = 10.0
# The variance of a measure's level, of which nothing is known beforehand; and the noise variance given to a cell
# without a sample variance, so large that the cell has no weight.
ANY_LEVEL, NO_WORD = 100.0, 1e4
# Log variances are clipped at this many standard deviations from the median of their setting. Scores that happen to
# be equal would otherwise have the log variance minus infinity.
FAR = 4.0
# Gauss-Hermite quadrature: averages over a standard normal distribution.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class Prior:
    """A prior variance and its weight, elementwise."""

    s2: Floats  # the variance, in squared units of the metric
    df: Floats  # how many degrees of freedom it is worth; 0 if nothing is known


class Borrowed:
    """Predictions of the seed variances of K cells, each from all cells but the predicted ones.

    All arguments have K elements: `variance` is the sample variance of a cell's scores over seeds and `df` its degrees
    of freedom (0 for a single seed); `measure` (what is measured, and in which units), `setting`, `table` and `arm` are
    numbers that are equal for cells that share them. Memory grows with the square of K, time with its cube (1,000
    cells: 0.2 s).
    """

    def __init__(self, variance: Floats, df: Floats, measure: Ints, setting: Ints, table: Ints, arm: Ints) -> None:
        known = (df > 0) & np.isfinite(variance)
        self.any = bool(known.any())
        half = np.where(known, df, 1.0) / 2
        self._noise = np.where(known, special.polygamma(1, half), NO_WORD)
        logs = _log_variances(np.where(known, variance, np.nan), half, setting, known)
        alike = measure[:, None] == measure
        shares = [setting[:, None] == setting, table[:, None] == table, arm[:, None] == arm]
        self.components = _variance_components(logs, self._noise, shares, known, alike) if self.any else EXPECTED
        parts = [self.components[0], self.components[1], max(self.components[2], ANY_ARM)]
        covariance = ANY_LEVEL * alike + sum(part * same for part, same in zip(parts, shares))
        level = float(np.mean(logs[known])) if self.any else 0.0
        rest = np.where(known, logs - level, 0.0)
        precision = np.linalg.inv(covariance + np.diag(self.components[3] + self._noise))
        self._precision, self._weighted = precision, precision @ rest
        self._rest, self._level = rest, level

    def prior_of_cells(self, i: Ints) -> Prior:
        """The prior of the variance of each cell in `i`, predicted without that cell."""
        # The leave-one-out prediction of a Gaussian model, from the precision matrix: no refit is needed.
        own = 1 / self._precision[i, i]
        log = self._level + self._rest[i] - own * self._weighted[i]
        return self._prior(log, own - self._noise[i])

    def prior_of_pairs(self, i: Ints, j: Ints, at: Floats, bt: Floats, together: Floats) -> Prior:
        """The prior of the variance of a difference of cell i and cell j, elementwise, predicted without both cells.

        That variance is at * variance_i + bt * variance_j, less twice the covariance of two scores that correlate by
        `together` under one seed. A weight `at` or `bt` may be 0, but not both.
        """
        # Leaving out two cells needs the inverse of the 2 x 2 block of the precision matrix that belongs to them.
        p, q, r = self._precision[i, i], self._precision[j, j], self._precision[i, j]
        det = p * q - r * r
        vi, vj, cov = q / det, p / det, -r / det
        li = self._level + self._rest[i] - vi * self._weighted[i] - cov * self._weighted[j]
        lj = self._level + self._rest[j] - cov * self._weighted[i] - vj * self._weighted[j]
        vi, vj = vi - self._noise[i], vj - self._noise[j]
        with np.errstate(divide="ignore"):
            log, spread = _log_sum(li + np.log(at), lj + np.log(bt), vi, vj, cov, together)
        return self._prior(log, spread)

    def _prior(self, log: Floats, spread: Floats) -> Prior:
        if not self.any:
            return Prior(np.full(log.shape, np.nan), np.zeros(log.shape))
        half = inverse_trigamma(np.maximum(spread, 1e-3))
        return Prior(np.exp(log + special.digamma(half) - np.log(half)), 2 * half)


def _log_sum(x: Floats, y: Floats, vx: Floats, vy: Floats, cov: Floats, together: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of log(e^X + e^Y - 2 r e^((X + Y) / 2)) for normal X and Y with these means, variances and
    covariance, r = `together`; of X alone where Y is -inf, and the other way round.

    With s = (X + Y) / 2 and d = X - Y it is s + log(2 cosh(d/2) - 2 r): the mean over d by Gauss-Hermite quadrature.
    """
    single = np.isinf(x) | np.isinf(y)
    with np.errstate(invalid="ignore"):
        middle, apart = np.where(single, 0.0, (x + y) / 2), np.where(single, 0.0, x - y)
    wide = np.maximum(vx + vy - 2 * cov, 1e-12)
    d = apart[:, None] + np.sqrt(wide)[:, None] * NODES
    half = np.exp(-np.abs(d) / 2)
    g = np.abs(d) / 2 + np.log(1 + half**2 - 2 * together[:, None] * half)
    mean = g @ WEIGHTS
    around = g - mean[:, None]
    slope = (around * (d - apart[:, None])) @ WEIGHTS / wide
    variance = (vx + vy + 2 * cov) / 4 + around**2 @ WEIGHTS + slope * (vx - vy)
    return np.where(single, np.maximum(x, y), middle + mean), np.where(single, np.where(np.isinf(x), vy, vx), variance)


def _log_variances(variance: Floats, half: Floats, setting: Ints, known: NDArray[np.bool_]) -> Floats:
    """Log sample variances without their bias, clipped at a distance from the median of their setting; 0 if unknown."""
    with np.errstate(divide="ignore"):
        logs = np.log(variance) - special.digamma(half) + np.log(half)
    far = FAR * np.sqrt(special.polygamma(1, half) + EXPECTED[3])
    for one in np.unique(setting[known]):
        here = known & (setting == one)
        finite = logs[here & np.isfinite(logs)]
        middle = np.median(finite) if len(finite) else 0.0
        logs[here] = np.clip(logs[here], middle - far[here], middle + far[here])
    return np.where(known, logs, 0.0)


def _variance_components(
    logs: Floats, noise: Floats, shares: list[NDArray[np.bool_]], known: NDArray[np.bool_], alike: NDArray[np.bool_]
) -> Floats:
    """The variances of setting, table, arm and rest, none below 0, by weighted non-negative least squares.

    Pairs of cells of one measure are sorted into eight kinds by what they share (setting, table, arm). For each kind,
    half the mean squared difference of the log variances, less the noise, estimates the sum of the components that
    the pair does not share. EXPECTED, weighted by FIRMNESS, adds one equation per component.
    """
    off = known[:, None] & known & alike & ~np.eye(len(logs), dtype=bool)
    half = ((logs[:, None] - logs) ** 2 - noise[:, None] - noise) / 2
    kinds = np.where(off, shares[0] + 2 * shares[1] + 4 * shares[2], 8)
    rows, values = [np.diag(1 / FIRMNESS)], [EXPECTED / FIRMNESS]
    # The standard error of a mean of K squares of such log variances, whose kurtosis is about that of log chi^2.
    error = (noise[known].mean() + EXPECTED[3]) * 2 / np.sqrt(known.sum())
    counts = np.bincount(kinds.ravel(), minlength=9)
    sums = np.bincount(kinds.ravel(), half.ravel(), minlength=9)
    for kind in np.flatnonzero(counts[:8]).tolist():
        part = np.array([not kind & 1, not kind & 2, not kind & 4, True], dtype=float)
        rows.append(part[None] / error)
        values.append(np.array([sums[kind] / counts[kind] / error]))
    found: Floats = optimize.nnls(np.concatenate(rows), np.concatenate(values))[0]
    return found


def inverse_trigamma(y: Floats) -> Floats:
    """x with psi'(x) = y, by Newton's method on 1/psi' (Smyth 2004, appendix)."""
    x = 0.5 + 1 / y
    for _ in range(8):
        trigamma = special.polygamma(1, x)
        x = x + trigamma * (1 - trigamma / y) / special.polygamma(2, x)
    return x
