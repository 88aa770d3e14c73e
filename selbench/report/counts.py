"""How many verdicts there are, under every correction: the figures that a re-analysis quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from selbench.statistics.multiplicity import CORRECTIONS, Correction, adjust_p_values, family_numbers

if TYPE_CHECKING:
    from selbench.report.arms import Arms
    from selbench.report.pairs import Pairs, Tested


def verdict_counts(pairs: Pairs, found: Tested, arms: Arms, alpha: float) -> dict[str, Any]:
    """`tables`; `cells` (arms against the baseline, base and full aside), of which `verdicts` say better, worse, tied
    under the board's correction, and `by_correction` under each; `best_vs_runner_up`: tables `of` which the best arm
    is separated from the next, `uncorrected` and by `verdict`; `pairs` among arms with a budget, and their verdicts."""
    ranked = ~pairs.reference
    against = pairs.primary
    sign = np.sign(found.mean) * pairs.baseline
    by = {}
    for correction in cast(tuple[Correction, ...], CORRECTIONS):
        family = family_numbers(correction, pairs.table, pairs.primary, pairs.reference)
        below = adjust_p_values(found.p, family, correction, alpha).p < alpha
        by[correction] = _counts_by_sign((below * sign)[against])
    best = _best_pairs(pairs, arms)
    return {
        "tables": len(arms.budgets),
        "cells": int(against.sum()),
        "verdicts": _counts_by_sign((found.verdict * pairs.baseline)[against]),
        "by_correction": by,
        "best_vs_runner_up": {
            "of": len(best),
            "uncorrected": int((found.p[best] < alpha).sum()),
            "verdict": int((found.verdict[best] != 0).sum()),
        },
        "pairs": {"all": int(ranked.sum()), "separated": int((found.verdict[ranked] != 0).sum())},
    }


def _counts_by_sign(signs: Any) -> dict[str, int]:
    return {"better": int((signs > 0).sum()), "worse": int((signs < 0).sum()), "tied": int((signs == 0).sum())}


def _best_pairs(pairs: Pairs, arms: Arms) -> Any:
    """The pair of the first two ranked arms of each table that has two."""
    ranked = np.flatnonzero(~pairs.reference)
    return ranked[np.unique(pairs.table[ranked], return_index=True)[1]]
