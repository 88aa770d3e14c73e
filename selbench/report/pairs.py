"""Every pair of arms of every table: tested, corrected, and given its power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selbench.report.arms import Arms
from selbench.report.items import ItemScores, align_items
from selbench.statistics import differences, power
from selbench.statistics.differences import Estimates, Test
from selbench.statistics.item_noise import item_variance
from selbench.statistics.multiplicity import Correction, adjust_p_values, family_numbers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """P pairs of places, `a` above `b` in its table; means are oriented so that a is better where they are positive.

    `baseline` is +1 where b is the arm that a is compared with, -1 where a is that arm, 0 elsewhere; `primary` where
    the other is an arm of the budget; `reference` where one of both is there without a budget.
    """

    a: Ints
    b: Ints
    table: Ints
    baseline: Ints
    primary: NDArray[np.bool_]
    reference: NDArray[np.bool_]


@dataclass(frozen=True)
class Tested:
    """What the tests say, elementwise for P pairs, in the metric's units (see board.Difference)."""

    mean: Floats
    se: Floats
    se_seed: Floats
    se_item: Floats
    seeds: Floats
    half: Floats
    p: Floats
    adjusted: Floats
    verdict: Ints
    detectable: Floats
    seeds_needed: Floats
    borrowed_df: Floats


@dataclass(frozen=True)
class Measured:
    """What is known of every unit's score by itself, elementwise (see board.ArmRow)."""

    mean: Floats
    se: Floats
    se_seed: Floats
    se_item: Floats
    half: Floats
    seeds: Floats


def make_pairs(arms: Arms, baseline: str) -> Pairs:
    """All pairs of each table, the better arm first; `baseline` is a selector."""
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
    """For every place the one of its table's baseline arm (of several, the one with the same scorer); -1 for none."""
    selector, scorer = (arms.units[name].to_numpy()[arms.unit] for name in ("selector", "scorer"))
    against = np.full(len(arms.unit), -1)
    for number in range(len(arms.budgets)):
        places = np.flatnonzero(arms.table == number)
        bases = places[selector[places] == baseline]
        for place in places:
            same = bases if len(bases) == 1 else bases[scorer[bases] == scorer[place]]
            if len(same) == 1 and same[0] != place:
                against[place] = same[0]
    return against


def oriented_values(arms: Arms, pairs: Pairs, values: Floats) -> Floats:
    higher = arms.units["higher_is_better"].to_numpy(dtype=bool)[arms.unit[pairs.a]]
    return np.where(higher, values, -values)


def tested_pairs(
    arms: Arms, pairs: Pairs, items: ItemScores | None, test: Test, correction: Correction, confidence: float
) -> tuple[Tested, Measured]:
    """All pairs, and all arms by themselves."""
    borrowed = arms.cells.borrowed() if test == "moderated" else None
    seed = differences.cell_differences(arms.cells, arms.unit[pairs.a], arms.unit[pairs.b], test, borrowed)
    alone = differences.cell_means(arms.cells, test, borrowed)
    item, own_item = item_noise(arms, pairs, items if test == "moderated" else None)
    se, df = _total_error(seed, item)
    mean = oriented_values(arms, pairs, seed.mean)
    p = differences.p_values(mean, se, df)
    alpha = 1 - confidence
    corrected = adjust_p_values(
        p, family_numbers(correction, pairs.table, pairs.primary, pairs.reference), correction, alpha
    )
    measured = df >= 1  # below, nothing sensible can be said of power
    needed = power.seeds_needed(
        np.where(measured & (mean != 0), mean, np.nan),
        seed.variance * seed.seeds,
        np.nan_to_num(item.variance),
        seed.prior_df,
        corrected.level,
        samples=2 if test == "welch" else 1,
    )
    found = Tested(
        mean=mean,
        se=se,
        se_seed=np.sqrt(seed.variance),
        se_item=np.sqrt(item.variance),
        seeds=seed.seeds,
        half=differences.half_width(se, df, confidence),
        p=p,
        adjusted=corrected.p,
        verdict=np.where(corrected.p < alpha, np.sign(mean), 0).astype(np.int64),
        detectable=np.where(measured, power.noncentrality(np.where(measured, df, 1.0), corrected.level) * se, np.nan),
        seeds_needed=needed,
        borrowed_df=seed.prior_df,
    )
    own_se, own_df = _total_error(alone, own_item)
    # No noise seen is none known: no interval, rather than one of no width.
    half = np.where(own_se > 0, differences.half_width(own_se, own_df, confidence), np.nan)
    return found, Measured(alone.mean, own_se, np.sqrt(alone.variance), np.sqrt(own_item.variance), half, alone.seeds)


def _total_error(seed: Estimates, item: ItemNoise) -> tuple[Floats, Floats]:
    """Standard error and degrees of freedom from both noises; where that of seeds is unknown, the other's and 0."""
    some = np.nan_to_num(item.variance)
    variance, df = differences.satterthwaite(seed.variance, seed.df, some, np.where(some > 0, item.df, 1.0))
    se = np.sqrt(np.where(np.isfinite(seed.variance), variance, item.variance))
    return se, np.where(seed.df > 0, np.nan_to_num(df), 0.0)


@dataclass(frozen=True)
class ItemNoise:
    """The variance of a mean from items, and its degrees of freedom; NaN and 0 where items are not known."""

    variance: Floats
    df: Floats


def item_noise(arms: Arms, pairs: Pairs, items: ItemScores | None) -> tuple[ItemNoise, ItemNoise]:
    """That of every pair, and of every unit."""
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
            # Without a seed in common the means over seeds are compared.
            difference = (x - y)[both] if both.any() else (np.nanmean(x, 0) - np.nanmean(y, 0))[None]
            each.variance[pair], each.df[pair] = item_variance(difference, known.starts)
    return each, own
