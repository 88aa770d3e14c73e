"""What the verdicts of a board that does not exist yet will be able to show.

The size of a difference that is shown depends on the whole board: how many comparisons are corrected for, and how many
degrees of freedom are borrowed. Both come out of the tests themselves, run on simulated boards of the planned shape.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from selbench.statistics.cells import Cells
from selbench.statistics.differences import cell_differences, p_values, satterthwaite
from selbench.statistics.joint import from_normal_score, normal_score
from selbench.statistics.multiplicity import Correction, PairTests, corrected
from selbench.statistics.power import POWER, chance_to_show
from selbench.statistics.seed_noise import SeedNoise

Floats = NDArray[np.float64]

# So many boards are simulated: what a board borrows is common to all its comparisons, so boards count, not comparisons.
BOARDS = 30
# The limits of so many of them are computed, which takes most of the time.
LIMITED = 2
# More tables of one shape are taken for so many: by then, a board borrows nearly all that it can.
MOST_TABLES = 6
# Degrees of freedom of the noise of items: a suite has hundreds.
ITEM_DF = 500.0
SEED = 20260101  # the same boards for the same shape, always


def foreseen_effect(
    arms: int,
    tables: int,
    seeds: int,
    *,
    measures: int = 1,
    items: float = 0.0,
    known_df: float = math.inf,
    baseline: bool = True,
    correction: Correction = "joint",
    confidence: float = 0.95,
    power: float = POWER,
) -> float:
    """The smallest true difference, in standard deviations of one score, that such a board shows with the chance `power`.

    The board has `tables` tables of `arms` arms with `seeds` seeds each, all equally noisy, and the moderated test; between
    tables of different `measures` (suites or tasks; so many of them), less is borrowed. The
    difference is that of one arm to the `baseline` arm (without one, to any arm), while no other arms differ. `items` is the
    variance that the choice of test items adds to a difference, in multiples of the variance of a score over seeds.
    `known_df` are the degrees of freedom with which the standard deviation is known. Infinite with one seed or one arm.
    """
    if seeds < 2 or arms < 2:
        return math.inf
    tables = min(tables, MOST_TABLES)
    # Two digits are enough, and let plans that are alike share their simulation.
    items = float(f"{items:.2g}")
    limits = _simulated_limits(arms, tables, min(measures, tables), seeds, items, baseline, correction, confidence)
    error = math.sqrt(2 / seeds + items)
    # Only the part from seeds is estimated: the degrees of freedom of the whole are Satterthwaite's.
    known_df = known_df * (error**2 * seeds / 2) ** 2

    def chance(effect: float) -> float:
        # The limits hold the estimated standard errors already, so nothing more is estimated in a new experiment.
        return float(chance_to_show(effect, math.inf, limits, known_df).mean())

    high = 1.0
    while chance(high) < power:
        high *= 2
    low = 0.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= power else (middle, high)
    return high * error


@lru_cache(maxsize=64)
def _simulated_limits(
    arms: int, tables: int, measures: int, seeds: int, items: float, baseline: bool, correction: Correction, confidence: float
) -> Floats:  # fmt: skip
    """How large differences have to come out to be verdicts if no other arms differ, in true standard errors."""
    rng = np.random.default_rng(SEED)
    i, j = np.triu_indices(arms, 1)
    table, arm = np.repeat(np.arange(tables), arms), np.tile(np.arange(arms), tables)
    a, b = ((np.arange(tables)[:, None] * arms + one).ravel() for one in (i, j))
    first, no = (arm[a] == 0) & baseline, np.zeros(len(a), dtype=bool)
    wanted = first if baseline else ~no
    boards = []
    for _ in range(BOARDS):
        cells = Cells(
            rng.normal(size=(len(arm), seeds)), np.zeros(len(arm), dtype=bool), table, table, arm, table % measures
        )
        boards.append(cell_differences(cells, a, b, "moderated", SeedNoise(cells)))
    # The noise of items is known nearly exactly, and adds degrees of freedom.
    added = np.full(len(a), items)
    whole = [satterthwaite(each.variance, each.df, added, np.full(len(a), ITEM_DF)) for each in boards]
    # The limits of boards of one shape differ in their degrees of freedom, and little else.
    scores = []
    for each, (variance, df) in list(zip(boards, whole))[:LIMITED]:
        se, mean = np.sqrt(variance), each.mean + rng.normal(size=len(a)) * math.sqrt(items)
        tests = PairTests(a, b, table[a], first, no, np.abs(mean) / se, df, p_values(mean, se, df), each.sides, added)
        limit = corrected(tests, correction, 1 - confidence).simultaneous
        scores.append(float(np.nanmean(normal_score(limit, df)[wanted])))
    score = np.full(1, np.mean(scores))
    found = [(from_normal_score(score, df) * np.sqrt(variance))[wanted] for variance, df in whole]
    limits = np.concatenate(found) / math.sqrt(2 / seeds + items)
    return limits[np.isfinite(limits)]
