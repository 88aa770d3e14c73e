"""The number of verdicts under every correction, which a re-analysis of published scores quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from selbench.statistics.multiplicity import CORRECTIONS, Correction, corrected

if TYPE_CHECKING:
    from selbench.report.arms import Arms
    from selbench.report.pairs import Pairs, Tested


def verdict_counts(pairs: Pairs, found: Tested, arms: Arms, chosen: str, alpha: float) -> dict[str, Any]:
    """Counts over the whole board, by name:

    - `tables`: the number of tables;
    - `cells`: comparisons of an arm of a table's budget with the baseline;
    - `verdicts`: how many of these are better, worse and tied under the board's correction, and how many are untested;
    - `by_correction`: the same under each correction (`chosen` is the board's);
    - `best_vs_runner_up`: in how many tables the best arm is separated from the second, `uncorrected` and by `verdict`,
      `of` how many that have two arms;
    - `pairs`: `all` pairs of arms of a table's budget, and how many are `separated` by verdict.
    """
    ranked = ~pairs.reference
    against = pairs.primary
    sign, tested = np.sign(found.mean) * pairs.baseline, ~np.isnan(found.p)
    by = {}
    for correction in cast(tuple[Correction, ...], CORRECTIONS):
        known = found.adjusted if correction == chosen else corrected(found.tests, correction, alpha).p
        by[correction] = _counts_by_sign(((known < alpha) * sign)[against], tested[against])
    best = _best_pairs(pairs, arms)
    return {
        "tables": len(arms.budgets),
        "cells": int(against.sum()),
        "verdicts": _counts_by_sign((found.verdict * pairs.baseline)[against], tested[against]),
        "by_correction": by,
        "best_vs_runner_up": {
            "of": len(best),
            "uncorrected": int((found.p[best] < alpha).sum()),
            "verdict": int((found.verdict[best] != 0).sum()),
        },
        "pairs": {"all": int(ranked.sum()), "separated": int((found.verdict[ranked] != 0).sum())},
    }


def _counts_by_sign(signs: Any, tested: Any) -> dict[str, int]:
    return {
        "better": int((signs > 0).sum()),
        "worse": int((signs < 0).sum()),
        "tied": int(((signs == 0) & tested).sum()),
        "untested": int((~tested).sum()),
    }


def _best_pairs(pairs: Pairs, arms: Arms) -> Any:
    """The positions in `pairs` of the first two ranked arms of each table that has two."""
    ranked = np.flatnonzero(~pairs.reference)
    return ranked[np.unique(pairs.table[ranked], return_index=True)[1]]
