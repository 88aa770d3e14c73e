"""What is known of the planted pool tells how good a selection is, without training a model on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import field

import numpy as np

from selbench.api import Chosen, Context, LoadedPool, Score, UserError, suite
from selbench.errors import unknown

LABELS = ("skill", "corrupted", "duplicate_of")


@suite("planted_truth", scores_selections=True)
class PlantedTruth:
    """Scores a selection by the hidden labels of its pool, each from 0 to 1, higher is better. No model is trained.

    faults: the share of the chosen examples whose response is not a planted wrong one. repeats: the share that is left when
    of chosen examples that ask the same question only one counts. skills: how evenly the chosen examples cover the pool's
    skills: exp(H) / S, the effective number of skills (Hill 1973, of order 1; H is the entropy of the skills' shares in
    nats) by the number S of skills in the pool. Ours: which labels count, and that the suite's score is the mean of the three.

    Options:
        skills: the skills that are wanted, such as [colour,add]: then the task `right_skill`, the share of the chosen
            examples that are about one of them, takes the place of `skills`. For targeted methods.
    """

    skills: list[str] = field(default_factory=list)

    def check_pool(self, pool: LoadedPool) -> None:
        """Raises UserError for a pool without the labels, and for skills that it does not have."""
        labels = next(iter(pool.labels.values()), {})
        if missing := [name for name in LABELS if name not in labels]:
            raise UserError(
                f"suite 'planted_truth' scores by the hidden labels {', '.join(LABELS)}, and pool '{pool.pool.name}' has no "
                f"{' or '.join(missing)}: it is for pool=planted."
            )
        known = sorted({about["skill"] for about in pool.labels.values()})
        for name in self.skills:
            if name not in known:
                raise UserError(f"suite.planted_truth.skills: {unknown('skill', name, known)}")

    def evaluate(self, chosen: Chosen, context: Context) -> list[Score]:
        rows = [chosen.labels[id] for id in chosen.ids]
        questions = {row["duplicate_of"] or id for id, row in zip(chosen.ids, rows)}
        taken = Counter(row["skill"] for row in rows)
        found = {
            ("faults", "share_right"): 1 - sum(row["corrupted"] for row in rows) / len(rows),
            ("repeats", "share_distinct"): len(questions) / len(rows),
        }
        if self.skills:
            found["right_skill", "share"] = sum(taken[name] for name in self.skills) / len(rows)
        else:
            present = {about["skill"] for about in chosen.labels.values()}
            shares = np.array(list(taken.values())) / len(rows)
            found["skills", "effective_share"] = float(np.exp(-(shares * np.log(shares)).sum())) / len(present)
        return [Score(task, metric, value) for (task, metric), value in found.items()]
