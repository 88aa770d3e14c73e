"""PairTests of every pair of arms of every table: differences, corrected p values, verdicts and power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selbench.report.arms import Arms
from selbench.statistics import differences, power
from selbench.statistics.differences import Estimates, Test
from selbench.statistics.item_noise import item_variance
from selbench.statistics.multiplicity import Correction, PairTests, corrected
from selbench.statistics.seed_noise import SeedNoise
from selbench.store.item_scores import ItemScores, align_items

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """All P pairs of places (see arms.Arms) that share a table."""

    a: Ints  # the place of the better arm
    b: Ints  # the place of the other arm
    table: Ints  # number of the table
    baseline: Ints  # +1 if b is the baseline of a, -1 if a is the baseline of b, else 0
    primary: NDArray[np.bool_]  # whether the pair compares an arm of the table's budget with the baseline
    reference: NDArray[np.bool_]  # whether one of both arms has no budget while others in the table have one


@dataclass(frozen=True)
class Tested:
    """The results of the tests, elementwise for P pairs, in the metric's units (see board.Difference)."""

    mean: Floats  # above 0 if a is better
    se: Floats  # standard error of `mean`
    se_seed: Floats  # its part from seeds
    se_item: Floats  # its part from items
    seeds: Floats  # how many seeds `mean` is over
    half: Floats  # half the width of the interval
    half_corrected: Floats  # the same of the interval that agrees with the verdict
    half_simultaneous: Floats  # the same of intervals that hold together for all pairs of a family
    tests: PairTests  # as the corrections need them
    p: Floats  # uncorrected
    adjusted: Floats  # p after correction
    verdict: Ints  # on a: 1 better, -1 worse, 0 tied
    detectable: Floats  # the smallest difference that these seeds show, as the only one of its family
    seeds_needed: Floats  # seeds per arm that would show the difference found; NaN if unknown or too many
    borrowed_df: Floats  # degrees of freedom that come from other cells
    exact: NDArray[np.bool_]  # whether the difference has no noise at all, see `exact_pairs`


@dataclass(frozen=True)
class Measured:
    """The score of every arm by itself, elementwise for U arms, in the metric's units (see board.ArmRow)."""

    mean: Floats  # over seeds, as measured
    se: Floats  # standard error of `mean`
    se_seed: Floats  # its part from seeds
    se_item: Floats  # its part from items
    half: Floats  # half the width of the interval
    seeds: Floats  # how many seeds `mean` is over
    outlying: NDArray[np.bool_]  # whether the arm is so noisy that nothing is borrowed for it
    constant: NDArray[np.bool_]  # whether its scores are equal under all of several seeds


def make_pairs(arms: Arms, baseline: str) -> Pairs:
    """All pairs of each table, the arm with the better score first; `baseline` is the name of a selector."""
    a, b = [], []
    for number in range(len(arms.budgets)):
        places = np.flatnonzero(arms.table == number)
        i, j = np.triu_indices(len(places), 1)
        a.append(places[i])
        b.append(places[j])
    first, second = np.concatenate(a), np.concatenate(b)
    against = _baseline_places(arms, baseline)
    sign = np.where(against[first] == second, 1, np.where(against[second] == first, -1, 0))
    primary = (sign != 0) & ~arms.reference[np.where(sign > 0, first, second)]
    reference = arms.reference[first] | arms.reference[second]
    return Pairs(first, second, arms.table[first], sign, primary, reference)


def _baseline_places(arms: Arms, baseline: str) -> Ints:
    """For every place, the place of the baseline arm of its table; -1 if there is none.

    If a table has the baseline selector with several scorers or targets, an arm is compared with that of its own.
    """
    selector, scorer, target = (arms.units[name].to_numpy()[arms.unit] for name in ("selector", "scorer", "target"))
    against = np.full(len(arms.unit), -1)
    for number in range(len(arms.budgets)):
        places = np.flatnonzero(arms.table == number)
        bases = places[selector[places] == baseline]
        for place in places:
            same = bases if len(bases) == 1 else bases[scorer[bases] == scorer[place]]
            same = same if len(same) == 1 else same[target[same] == target[place]]
            if len(same) == 1 and same[0] != place:
                against[place] = same[0]
    return against


def oriented_values(arms: Arms, pairs: Pairs, values: Floats) -> Floats:
    """P differences a - b in the metric's units, turned so that they are above 0 if a is better."""
    higher = arms.units["higher_is_better"].to_numpy(dtype=bool)[arms.unit[pairs.a]]
    return np.where(higher, values, -values)


def tested_pairs(
    arms: Arms, pairs: Pairs, items: ItemScores | None, test: Test, correction: Correction, confidence: float
) -> tuple[Tested, Measured]:
    """The tests of all pairs, and the scores of all arms by themselves.

    Item-level results take part in the moderated test only: the other two are the plain tests of textbooks.
    """
    borrowed = SeedNoise(arms.cells) if test == "moderated" else None
    seed = differences.cell_differences(arms.cells, arms.unit[pairs.a], arms.unit[pairs.b], test, borrowed)
    item, own_item = item_noise(arms, pairs, items if test == "moderated" else None)
    se, df = _total_error(seed, item)
    # Scores that are all equal show no noise at all, whatever other tables say of theirs.
    nothing = arms.equal_tables[pairs.table]
    se, df = np.where(nothing, np.nan, se), np.where(nothing, 0.0, df)
    mean = oriented_values(arms, pairs, seed.mean)
    p = differences.p_values(mean, se, df)
    alpha = 1 - confidence
    statistic = np.divide(np.abs(mean), se, out=np.full(len(mean), np.nan), where=~np.isnan(p))
    tests = PairTests(
        pairs.a, pairs.b, pairs.table, pairs.primary, pairs.reference, statistic, df, p, seed.sides, item.variance
    )
    after = corrected(tests, correction, alpha)
    # Power is that of the first step, in which all other pairs of the family still count: what these seeds can show must
    # not depend on what else they have shown. Below one degree of freedom nothing sensible can be said of it.
    limit = np.where(df >= 1, after.simultaneous, np.nan)
    needed = power.seeds_needed(
        np.where(mean != 0, mean, np.nan),
        seed.variance * seed.seeds,
        np.nan_to_num(item.variance),
        seed.seeds,
        df,
        2 * stats.t.sf(limit, np.maximum(df, 1.0)),
        samples=2 if test == "welch" else 1,
    )
    exact = exact_pairs(arms, pairs, item) & (np.abs(mean) > 1e-12)
    adjusted = np.where(exact, 0.0, after.p)
    found = Tested(
        mean=mean,
        se=se,
        se_seed=np.sqrt(seed.variance),
        se_item=np.sqrt(item.variance),
        seeds=seed.seeds,
        half=np.where(exact, 0.0, differences.half_width(se, df, confidence)),
        half_corrected=np.where(exact, 0.0, after.limit * se),
        half_simultaneous=np.where(exact, 0.0, after.simultaneous * se),
        tests=tests,
        p=np.where(exact, 0.0, p),
        adjusted=adjusted,
        verdict=np.where(adjusted < alpha, np.sign(mean), 0).astype(np.int64),
        exact=exact,
        detectable=power.detectable_effect(df, limit) * se,
        seeds_needed=needed,
        borrowed_df=seed.prior_df,
    )
    return found, _measured_arms(arms, test, borrowed, own_item, confidence)


def exact_pairs(arms: Arms, pairs: Pairs, item: ItemNoise) -> NDArray[np.bool_]:
    """Which differences have no noise at all: neither arm has a seed, and the scores are no means over test items.

    Such are the scores of two selections that do not depend on a seed: every seed shows the same difference.
    """
    fixed = arms.cells.fixed
    found: NDArray[np.bool_] = (
        fixed[arms.unit[pairs.a]] & fixed[arms.unit[pairs.b]] & ~(np.nan_to_num(item.variance) > 0)
    )
    return found


def _measured_arms(arms: Arms, test: Test, borrowed: SeedNoise | None, item: ItemNoise, confidence: float) -> Measured:
    alone = differences.cell_means(arms.cells, test, borrowed)
    se, df = _total_error(alone, item)
    # A standard error of 0 means that the noise is unknown, so there is no interval rather than one without width.
    half = np.where(se > 0, differences.half_width(se, df, confidence), np.nan)
    return Measured(
        alone.mean,
        se,
        np.sqrt(alone.variance),
        np.sqrt(item.variance),
        half,
        alone.seeds,
        outlying=np.zeros(len(half), dtype=bool) if borrowed is None else borrowed.outlying,
        constant=arms.cells.constant,
    )


def _total_error(seed: Estimates, item: ItemNoise) -> tuple[Floats, Floats]:
    """The standard error from the noise of seeds and items together, and its degrees of freedom.

    If the noise of seeds is unknown, the standard error is that of the items, with 0 degrees of freedom.
    """
    some = np.nan_to_num(item.variance)
    variance, df = differences.satterthwaite(seed.variance, seed.df, some, np.where(some > 0, item.df, 1.0))
    se = np.sqrt(np.where(np.isfinite(seed.variance), variance, item.variance))
    return se, np.where(seed.df > 0, np.nan_to_num(df), 0.0)


@dataclass(frozen=True)
class ItemNoise:
    """The noise of items in a mean, elementwise."""

    variance: Floats  # of the mean, from items; NaN without item-level results
    df: Floats  # its degrees of freedom; 0 without item-level results


def item_noise(arms: Arms, pairs: Pairs, items: ItemScores | None) -> tuple[ItemNoise, ItemNoise]:
    """The noise of items in the difference of every pair, and in the score of every arm."""
    each, own = (ItemNoise(np.full(size, np.nan), np.zeros(size)) for size in (len(pairs.a), len(arms.units)))
    for number in range(len(arms.budgets)) if items is not None else ():
        places = np.flatnonzero(arms.table == number)
        units = arms.unit[places]
        suite = str(arms.units["suite"].iloc[units[0]])
        fixed = arms.cells.fixed[units]
        known = align_items(items, suite, [arms.runs[unit] for unit in units], list(fixed)) if items else None
        if known is None:
            continue
        for unit, values in zip(units, known.values):
            kept = values[:1] if arms.cells.fixed[unit] else values[np.isfinite(values[:, 0])]
            own.variance[unit], own.df[unit] = item_variance(kept, known.starts)
        for pair in np.flatnonzero(pairs.table == number):
            x, y = known.values[pairs.a[pair] - places[0]], known.values[pairs.b[pair] - places[0]]
            both = np.isfinite(x[:, 0]) & np.isfinite(y[:, 0])
            # Arms that share no seed are compared by their means over seeds.
            difference = (x - y)[both] if both.any() else (np.nanmean(x, 0) - np.nanmean(y, 0))[None]
            each.variance[pair], each.df[pair] = item_variance(difference, known.starts)
    return each, own
