"""The prior of the moderated test: the seed variance of an arm, predicted from the other cells of a board.

Smyth (2004) takes one prior variance for all cells, sigma^2 ~ d0 s0^2 / chi^2(d0), so that a sample variance over its
prior has an F distribution. One prior for all does not fit here: arms differ, tasks differ by far more, and an arm may be
noisy in one task only. So the log of the prior variance is a sum, which is ours,

    log sigma^2 = measure + setting + table + arm + (arm in this setting) + log(NU / chi^2(NU)),

with free measures and arms (and arms in a measure beside arms in a setting, if a measure has several). The effects are
normal, but those of tables and of arms in a setting have variances of their own, drawn to one that is estimated from all
(so they follow a t distribution): most are small, and a large one is believed soon. The fit is Fisher scoring with the
likelihood of the F distribution. That likelihood bounds the influence of any cell, so
neither a single wild cell nor a variance that is nearly 0 moves the others.

The prediction of a cell *from all other cells*, and its uncertainty, give s0^2 and d0: the less is known about a cell,
the smaller d0. A cell that is far noisier than predicted loses its prior and stands by itself (as the outliers of Phipson
et al. 2016). Cells whose scores are all equal, at the floor or the ceiling of a task, take no part. Scores that
share the luck of one training (see training_luck) count as little more than one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Spread = Callable[[Floats], tuple[Floats, Floats]]  # from weights to variances and degrees of freedom

# Variances of the effects on the log variance. Levels of measures and arms are free (so arms are not drawn towards
# each other); settings of one measure differ about as those of the published scores.
LEVEL, SETTING, ARM = 100.0, 1.0, 10.0
# The variances that are expected of the effects of tables, and of arms in one measure and in one setting. The board's own
# estimate is drawn to them as if FIRM groups had shown them, and the squared effect of one group counts at most WILD
# times its expectation in it (BOUNDED is the mean of a squared normal variable that is bounded so).
TABLE, ARM_IN_MEASURE, ARM_IN_SETTING = 0.1, 2.0, 0.3
FIRM, WILD, BOUNDED = 20.0, 4.0, 0.92
# Degrees of freedom of the cells about their prediction: the choices, the one expected, and how firmly (a standard
# deviation of the log). The published scores have 3 to 4.
CHOICES, NU, FIRMNESS = np.array([1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0]), 4.0, 0.7
# The prior counts this share of the degrees of freedom that it would be worth if the model were true. With all of them,
# 7.4 % of comparisons were false verdicts where cells differ and seeds are two (benchmarks/bench_calibration.py). It is less
# for an arm that few tables show and whose own degrees of freedom tell enough (see _trust).
TRUST = 0.55
# The same for an arm that no other table shows, divided by the square of its own degrees of freedom: nothing would reveal
# that it is noisier than the arms beside it. With 0.2 whatever its seeds, an arm that is 3 times as noisy had 8 % false
# verdicts; divided by the degrees of freedom once, still 7 % with 5 seeds.
TRUST_ALONE = 0.2
# A cell whose chance under its prior (p of the F test) is below ODD counts on its prior less and less, by (p / ODD)^2;
# one below OUTLYING is reported to stand by itself.
ODD, OUTLYING = 0.1, 0.02
ROUNDS = 5
UNKNOWN = 1e6  # the noise of a cell without a variance: no weight


@dataclass(frozen=True)
class Prior:
    """A prior variance and its weight, elementwise."""

    s2: Floats  # the variance, in squared units of the metric
    df: Floats  # how many degrees of freedom it is worth; 0 if nothing is known


@dataclass(frozen=True)
class PairPrior:
    """The priors of both cells of a pair, each predicted without either, and what their errors share."""

    a: Prior
    b: Prior
    shared: Floats  # covariance of the errors of both predicted log variances


class Borrowed:
    """Predictions of the seed variances of K cells, each from all cells but the predicted ones.

    `spread` gives the variance of each cell and its degrees of freedom (NaN and 0 if unknown) from the weights of the
    cells in the seed effects of their tables (see seed_effects). `measure` (what is measured, and in which units),
    `setting`, `table` and `arm` are K numbers that are equal for cells that share them, `luck` is K x K (see
    training_luck). Memory grows with the square of K, time with its cube (600 cells: 0.3 s).
    """

    def __init__(
        self, spread: Spread, measure: Ints, setting: Ints, table: Ints, arm: Ints, luck: Floats, constant: Flags
    ) -> None:
        self._spread, self._luck, self._constant = spread, luck, constant
        self._shares_luck = bool(luck.any())
        self._same = [
            (LEVEL, measure[:, None] == measure),
            (SETTING, setting[:, None] == setting),
            (ARM, arm[:, None] == arm),
        ]
        self._groups = [
            (TABLE, np.unique(table, return_inverse=True)[1]),
            (ARM_IN_MEASURE, _crossed(arm, measure)),
            (ARM_IN_SETTING, _crossed(arm, setting)),
        ]
        self.nu = NU
        self._counted = np.round(np.nan_to_num(spread(np.zeros(len(setting)))[1]))
        self._fit(setting)
        # Nothing is known about the noise of a measure none of whose cells has any.
        some = np.isin(measure, measure[self._known])
        tables = [len(np.unique(table[self._known & (arm == one)])) for one in np.unique(arm)]
        shown = np.array(tables)[np.unique(arm, return_inverse=True)[1]]
        self._value = np.where(some, _trust(shown, np.asarray(self._counted, dtype=np.float64)), 0.0)
        # What a cell's own variance adds to that of cells which share its luck.
        self.own_df = np.where(self._known, self.df, 0.0)
        if self._shares_luck:
            self.own_df = self.own_df / (np.diag(np.linalg.inv(self._noise)) * np.diag(self._noise))
        self.outlying = self._chance_of_cells() < OUTLYING

    def _fit(self, setting: Ints) -> None:
        size = len(setting)
        self.variance, self.df = self._spread(np.where(self._constant, 0.0, 1.0))
        level = self._first_level(setting)
        common = [expected for expected, _ in self._groups]
        own = [np.full(size, expected) for expected in common]
        for step in range(ROUNDS):
            known = (self.df > 0) & ~self._constant
            df = np.where(known, self.df, 1.0)
            ratio = np.where(known, self.variance, 1.0) / np.where(known, np.exp(level), 1.0)
            # Score and information of the F likelihood about the log of the level.
            weight = df * self.nu / (2 * (df + self.nu + 2))
            score = df / 2 * (ratio - 1) / (1 + df * ratio / self.nu)
            target = np.where(known, level + score / weight, 0.0)
            middle = float(target[known].mean()) if known.any() else 0.0
            self._rest = np.where(known, target - middle, 0.0)
            self._middle, self._known = middle, known
            noise = np.where(known, 1 / weight, UNKNOWN)
            self._noise = np.diag(noise)
            if self._shares_luck:
                root = np.where(known, np.sqrt(noise), 0.0)
                self._noise += self._luck * root * root[:, None]
            self._signal = np.zeros((size, size))
            for variance, same in self._same:
                self._signal += variance * same
            for variances, (_, group) in zip(own, self._groups):
                self._signal += np.where(group[:, None] == group, variances, 0.0)
            self._precision = np.linalg.inv(self._signal + self._noise)
            self._weighted = self._precision @ self._rest
            self._crossed = self._signal @ self._precision
            self._around = self._crossed @ self._signal
            self._effects = self._signal @ self._weighted
            for number, (expected, group) in enumerate(self._groups):
                own[number], common[number] = self._own_variances(own[number], group, common[number], expected)
            level = middle + self._effects
            if step >= ROUNDS - 3:
                self.nu = self._degrees_of_rest()
            self.variance, self.df = self._spread(np.where(known, np.exp(-level), 0.0))

    def _first_level(self, setting: Ints) -> Floats:
        """The log of the median variance of each setting; 0 where none is known."""
        found = np.zeros(len(setting))
        some = (self.df > 0) & ~self._constant & (np.nan_to_num(self.variance) > 0)
        for one in np.unique(setting[some]):
            found[setting == one] = np.log(np.median(self.variance[some & (setting == one)]))
        return found

    def _own_variances(self, variance: Floats, group: Ints, common: float, expected: float) -> tuple[Floats, float]:
        """The variances of the groups' effects for the next round, one a cell, and the one common to all groups.

        A group's own variance is the mean of the common one and the expected square of its effect. The common one is
        found by Schall's (1991) fixed point, with bounded squares, and drawn to its expectation.
        """
        number = int(np.max(group)) + 1
        slope = np.bincount(group, self._weighted, number)
        inner = np.bincount(group, (self._precision * (group[:, None] == group)).sum(1), number)
        own = np.zeros(number)
        own[group] = variance
        informed = inner * own > 0.02
        surprise = np.minimum(slope[informed] ** 2 / inner[informed], WILD)
        grown = common * float(surprise.sum()) / BOUNDED
        common = (FIRM * expected + grown) / (FIRM + int(informed.sum()))
        own = (common + (own * slope) ** 2 + own - own**2 * inner) / 2
        return own[group], common

    def _degrees_of_rest(self) -> float:
        """The degrees of freedom of the cells about their predictions: a mean over CHOICES, weighted by likelihood."""
        known = self._known
        every = np.flatnonzero(known)
        log, spread = self._predicted_cells(every)
        variance, df = np.maximum(self.variance[every], 1e-300), self.df[every]
        found = []
        for nu in CHOICES:
            s2, d0 = _prior(log, spread, float(nu))
            odds = df * variance / s2 / d0
            density = (
                special.gammaln((df + d0) / 2) - special.gammaln(df / 2) - special.gammaln(d0 / 2)
                + df / 2 * np.log(odds) - (df + d0) / 2 * np.log1p(odds)
            )  # fmt: skip
            found.append(float(density.sum()))
        # Cells that share luck count once: the likelihood is as if there were that many fewer of them.
        share = 1 / max(1.0, 1 + float(self._luck[np.ix_(known, known)].sum(1).mean())) if known.any() else 1.0
        log_weight = np.array(found) * share - ((np.log(CHOICES) - np.log(NU)) / FIRMNESS) ** 2 / 2
        weight = np.exp(log_weight - log_weight.max())
        return float(weight.sum() / (weight / CHOICES).sum())

    def _predicted_cells(self, i: Ints) -> tuple[Floats, Floats]:
        log, spread = self._predicted(i[:, None])
        return log[:, 0], spread[:, 0, 0]

    def _predicted(self, rows: Ints) -> tuple[Floats, Floats]:
        """The predictions of the log levels of L groups of cells (`rows` is L x G), each without the cells of its group.

        Gives L x G means and L x G x G covariances, from the precision matrix of all cells: no refit is needed.
        """
        i, j = rows[:, :, None], rows[:, None, :]
        signal, precision = self._signal[i, j], self._precision[i, j]
        across = self._crossed[i, j]
        around = self._around[i, j]
        weighted, effects = self._weighted[rows], self._effects[rows]
        # The columns of the signal that belong to the group, with the group's own rows left out, times the precision.
        cross = across - signal @ precision
        inverse = np.linalg.inv(precision)
        step = np.einsum("lgh,lhk->lgk", cross, inverse)
        mean = effects - np.einsum("lgh,lh->lg", signal, weighted) - np.einsum("lgh,lh->lg", step, weighted)
        back = across @ signal
        kept = around - back - np.swapaxes(back, 1, 2) + signal @ precision @ signal
        covariance = signal - kept + step @ np.swapaxes(cross, 1, 2)
        return self._middle + mean, covariance

    def prior_of_cells(self, i: Ints) -> Prior:
        """The prior of the variance of each cell in `i`, predicted without that cell."""
        log, spread = self._predicted_cells(i)
        s2, df = _prior(log, spread, self.nu)
        return self._weighted_prior(i, s2, df)

    def prior_of_pairs(self, i: Ints, j: Ints) -> PairPrior:
        """The priors of the variances of cells i and j, elementwise, predicted without both cells."""
        log, spread = self._predicted(np.stack([i, j], 1))
        a = self._weighted_prior(i, *_prior(log[:, 0], spread[:, 0, 0], self.nu))
        b = self._weighted_prior(j, *_prior(log[:, 1], spread[:, 1, 1], self.nu))
        return PairPrior(a, b, spread[:, 0, 1])

    def _weighted_prior(self, i: Ints, s2: Floats, df: Floats) -> Prior:
        """The prior with the weight that it deserves, which is small for a cell that is far noisier than its prior."""
        known = self._known[i]
        with np.errstate(invalid="ignore"):
            chance = special.fdtrc(np.where(known, self.df[i], 1.0), df, np.where(known, self.variance[i], 0.0) / s2)
        return Prior(s2, df * self._value[i] * np.minimum(chance / ODD, 1.0) ** 2)

    def _chance_of_cells(self) -> Floats:
        """The chance of a variance as large as each cell's, under its prior; 1 for a cell without a variance."""
        found = np.ones(len(self.df))
        every = np.flatnonzero(self._known)
        if len(every):
            s2, df = _prior(*self._predicted_cells(every), self.nu)
            found[every] = special.fdtrc(self.df[every], df, self.variance[every] / s2)
        return found


def _trust(tables: Ints, df: Floats) -> Floats:
    """The share that counts of the degrees of freedom of a prior, elementwise, for cells with `df` of their own.

    `tables` is how many tables show the cell's arm. What few tables tell of an arm is uncertain beyond what the model
    knows; with many seeds a cell can do without it.
    """
    own = np.maximum(df, 1.0)
    several = TRUST * (1 - (1 - 1 / own) / np.maximum(tables, 1))
    return np.where(tables > 1, several, TRUST_ALONE / own**2)


def _crossed(a: Ints, b: Ints) -> Ints:
    """Numbers from 0 that are equal for cells that share both."""
    found: Ints = np.unique(np.stack([a, b]), axis=1, return_inverse=True)[1].ravel()
    return found


def _prior(log: Floats, spread: Floats, nu: float) -> tuple[Floats, Floats]:
    """Prior variance and degrees of freedom from the predicted log level, its variance, and the rest's `nu`.

    The log of sigma^2 has the mean log - psi(nu / 2) + log(nu / 2) and the variance spread + psi'(nu / 2): the scaled
    inverse chi-square with these two (Smyth 2004, section 6).
    """
    mean = log - special.digamma(nu / 2) + np.log(nu / 2)
    half = inverse_trigamma(np.maximum(spread, 1e-3) + float(special.polygamma(1, nu / 2)))
    return np.exp(mean + special.digamma(half) - np.log(half)), 2 * half


def inverse_trigamma(y: Floats) -> Floats:
    """x with psi'(x) = y, by Newton's method on 1/psi' (Smyth 2004, appendix)."""
    x = 0.5 + 1 / y
    for _ in range(6):
        trigamma = special.polygamma(1, x)
        x = x + trigamma * (1 - trigamma / y) / special.polygamma(2, x)
    return x
