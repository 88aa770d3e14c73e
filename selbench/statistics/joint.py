"""P values and intervals for all comparisons of a table together, from their joint distribution.

Comparisons of the arms of one table are not independent: they share arms. Holm's method makes nothing of that. Here the
joint distribution is simulated: means and variances of the arms are drawn as the moderated test assumes them, without
any true difference, and every comparison is computed from them as it was from the scores. The distribution of the
largest statistic of a set of comparisons then gives the p value of the set (Westfall and Young 1993).

Verdicts are closed tests (Marcus, Peritz and Gabriel 1976): two arms differ if every set of comparisons that could be true
together with their equality is refuted. Only some sets can be true together: if a = b and b = c, then a = c (Shaffer
1986; Westfall 1997). So comparisons are taken from the largest statistic down; each is tested together with those
below it, in the largest sets that are still possible. With a right p value for each set, the
chance of any false verdict in a family is at most alpha, whatever the true differences are. Where an
arm has few degrees of freedom, a set has two p values, of the simulation and of Bonferroni's inequality, and the smaller
counts, which is ours: docs/verdicts.md says what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 4000
# Fewer draws than this beyond a limit do not settle where it is.
FEWEST = 4
# Below so many degrees of freedom of an arm, Bonferroni's inequality counts where it is milder. With it for all, the chance of
# any false verdict was 0.7 to 1 point higher in single tables of 3 to 10 seeds, and the power the same.
FEW = 2.0
# Comparisons with the baseline, which a board is read for first, are ahead of the others by this much on the normal scale:
# near the limits, their p values count as about a third. Any fixed lead keeps the error rate.
LEAD = 0.4
SEED = 20260101  # the same draws for the same table, always
# Above this many arms, the logic of equalities is left out (there would be thousands of sets), at some loss of power.
MOST_ARMS = 7


@dataclass(frozen=True)
class Comparisons:
    """P comparisons of one family of U arms, elementwise."""

    a: Ints  # the arm's number, from 0
    b: Ints
    statistic: Floats  # |difference| / standard error
    df: Floats  # of the statistic's t distribution
    p: Floats  # of each by itself
    first: NDArray[np.bool_]  # whether the comparison is with the baseline, and has the LEAD


@dataclass(frozen=True)
class Noise:
    """What the simulation draws for U arms, elementwise, in the squared units of the scores."""

    variance: Floats  # of the arm's mean, from seeds
    df: Floats  # its degrees of freedom; infinite if the variance is 0
    known: Floats  # variance of the mean that is known nearly exactly: from items


@dataclass(frozen=True)
class Together:
    """The results for P comparisons, elementwise."""

    p: Floats  # adjusted
    limit: Floats  # the statistic that was to be exceeded; above it the comparison is a verdict, p < alpha
    simultaneous: Floats  # the statistic that none exceeds with the chance 1 - alpha, if none differ


def joint_tests(of: Comparisons, noise: Noise | None, alpha: float) -> Together:
    """Adjusted p values and limits of a family of comparisons.

    Sets of comparisons are tested by their simulated joint distribution; where an arm has fewer than FEW degrees of freedom,
    also by Bonferroni's inequality, which holds for any joint distribution, and the smaller p value counts: the draws of
    such an arm reach so far that they would hide what the others show. Without `noise`, or if `alpha` is too small for a
    simulation, by the inequality alone.
    """
    if alpha * (1 + DRAWS) < FEWEST:
        noise = None
    family = _Family(of, noise, alpha)
    size = len(of.p)
    adjusted, limit = np.ones(size), np.full(size, np.inf)
    order = np.argsort(-family.score, kind="stable")
    plain = family.p_of_rests(order)
    before = 0.0
    for place, one in enumerate(order.tolist()):
        left = order[place:]
        if before >= alpha or not place:
            before = max(before, float(plain[place]))
            sets = [left]
        else:
            sets = family.possible_sets(order[:place], one, left)
            before = max([before, *(family.p_of_set(some, one) for some in sets)])
        adjusted[one] = before
        if before < alpha:
            limit[one] = max(family.limits(some)[one] for some in sets)
        elif np.isinf(limit[one]):
            # The first that is no verdict ends the test: this step's limit is that of all below it.
            limit[left] = np.max([family.limits(some)[left] for some in sets], axis=0)
    return Together(adjusted, agreeing_limits(limit, of.statistic, adjusted < alpha), family.limits(order))


def agreeing_limits(limit: Floats, statistic: Floats, found: NDArray[np.bool_]) -> Floats:
    """The limits, moved by no more than rounding where needed, so that a statistic exceeds its limit exactly if `found`.

    The margin is wider than the rounding of an interval that is made with the limit. NaN limits take the statistic's.
    """
    return np.where(found, np.minimum(limit, statistic * (1 - 1e-9)), np.fmax(limit, statistic * (1 + 1e-9)))


class _Family:
    """The statistics of a family on a common scale, and tests of sets of its comparisons."""

    def __init__(self, of: Comparisons, noise: Noise | None, alpha: float) -> None:
        self._of, self._alpha = of, alpha
        self._lead = np.where(of.first, LEAD, 0.0)
        self._drawn = None if noise is None else _drawn_scores(of, noise) + self._lead
        self._mildest = noise is None or bool((noise.df < FEW).any())
        self.score = -of.p if noise is None else normal_score(of.statistic, of.df) + self._lead
        arms = int(max(np.max(of.a), np.max(of.b))) + 1
        complete = len(of.p) == arms * (arms - 1) // 2
        self._sets = _partition_sets(arms) if complete and arms <= MOST_ARMS else None
        # The place of each comparison in the order of `_partition_sets`.
        low, high = np.minimum(of.a, of.b), np.maximum(of.a, of.b)
        self._place = low * arms - low * (low + 1) // 2 + high - low - 1

    def possible_sets(self, refuted: Ints, one: int, left: Ints) -> list[Ints]:
        """The largest sets of comparisons that hold `one` and can be true together if the `refuted` are false."""
        if self._sets is None or not len(refuted):
            return [left]
        sets = self._sets[:, self._place]
        sets = sets[sets[:, one] & ~sets[:, refuted].any(1)]
        counts = sets.sum(1)
        inside = sets.astype(int) @ sets.T.astype(int) == counts[:, None]
        largest = inside.sum(1) == 1
        return [np.flatnonzero(row) for row in sets[largest]]

    def p_of_set(self, some: Ints, one: int) -> float:
        """The p value of a set whose largest statistic is that of `one`."""
        bound = min(len(some) * float(self._of.p[one]), 1.0) if self._mildest else 1.0
        if self._drawn is None:
            return bound
        above = int((self._drawn[:, some].max(1) >= self.score[one]).sum())
        return min(bound, (1 + above) / (1 + DRAWS))

    def p_of_rests(self, order: Ints) -> Floats:
        """The p value of each set that holds a comparison and all that come after it in `order`."""
        bound = (
            np.minimum(np.arange(len(order), 0, -1) * self._of.p[order], 1.0) if self._mildest else np.ones(len(order))
        )
        if self._drawn is None:
            return np.asarray(bound)
        largest = np.maximum.accumulate(self._drawn[:, order[::-1]], axis=1)[:, ::-1]
        return np.minimum(bound, (1 + (largest >= self.score[order]).sum(0)) / (1 + DRAWS))

    def limits(self, some: Ints) -> Floats:
        """What each comparison's statistic has to exceed if it is the largest of a set."""
        plain = np.asarray(stats.t.isf(self._alpha / 2 / len(some), self._of.df))
        if self._drawn is None:
            return plain
        above = int(np.ceil(self._alpha * (1 + DRAWS))) - 1
        bound = np.partition(self._drawn[:, some].max(1), DRAWS - above)[DRAWS - above]
        drawn = from_normal_score(np.maximum(bound - self._lead, 0.0), self._of.df)
        return np.minimum(plain, drawn) if self._mildest else drawn


def _drawn_scores(of: Comparisons, noise: Noise) -> Floats:
    """DRAWS x P statistics, as normal scores, of arms that do not differ."""
    rng = np.random.default_rng(SEED)
    arms = len(noise.variance)
    mean = rng.standard_normal((DRAWS, arms)) * np.sqrt(noise.variance + noise.known)
    finite = np.isfinite(noise.df) & (noise.variance > 0)
    half = np.where(finite, noise.df, 1.0) / 2
    chi = np.where(finite, rng.standard_gamma(half, (DRAWS, arms)) / half, 1.0)
    variance = noise.variance * chi
    # Satterthwaite's degrees of freedom are those of the drawn variances, as they were of the observed ones.
    share = np.where(finite, variance**2 / (2 * half), 0.0)
    total = variance[:, of.a] + variance[:, of.b]
    known = noise.known[of.a] + noise.known[of.b]
    df = (total + known) ** 2 / np.maximum(share[:, of.a] + share[:, of.b], 1e-300)
    statistic = np.abs(mean[:, of.a] - mean[:, of.b]) / np.sqrt(np.maximum(total + known, 1e-300))
    return normal_score(statistic, df)


def normal_score(statistic: Floats, df: Floats) -> Floats:
    """|t| with `df` degrees of freedom on the scale of a normal distribution (Wallace 1959).

    It makes statistics with different degrees of freedom comparable. It need not be exact: observed and drawn statistics
    are transformed alike.
    """
    df = np.minimum(df, 1e6)
    return np.asarray((8 * df + 1) / (8 * df + 3) * np.sqrt(df * np.log1p(statistic**2 / df)))


def from_normal_score(score: Floats, df: Floats) -> Floats:
    """The |t| whose normal score this is."""
    df = np.minimum(df, 1e6)
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(df * np.expm1((score * (8 * df + 3) / (8 * df + 1)) ** 2 / df)))


@lru_cache
def _partition_sets(arms: int) -> NDArray[np.bool_]:
    """For every partition of the arms into groups of equals, which of all pairs it makes equal: partitions x pairs."""
    groups = [[0]]
    for _ in range(arms - 1):
        groups = [[*one, new] for one in groups for new in range(max(one) + 2)]
    of = np.array(groups)
    i, j = np.triu_indices(arms, 1)
    return of[:, i] == of[:, j]
