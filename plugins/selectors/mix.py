"""Shares of the budget to several selectors."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from selbench_plugins.selectors._composition import Composition, in_proportion, in_turn, labels_of

from selbench.api import Budget, Context, Pool, Selection, UserError, selector


@selector("mix")
class Mix(Composition):
    """Each part fills its share of the budget with the examples it ranks highest that no part before it has taken.

    What is left of the budget (by rounding, by shares that sum to less than 1, by parts that had no other examples) goes to the
    parts in turn, each with its next best.

    Options:
        of: the selectors, [{mads: {share: 0.7}}, random]: those without a share divide what is left in equal parts.
    """

    of: list[Any] = field(default_factory=list, metadata={"plugin": "selectors", "amount": "share"})

    def __post_init__(self) -> None:
        self.follow_parts()
        self.may_stop_short = bool(self.parts) and all(part.selector.may_stop_short for part in self.parts)

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: two parts without a model."""
        return {"of": [{"longest": {"unit": "characters", "share": 0.6}}, "random"]}

    def label(self) -> str:
        """`mix(mads share=0.7, random)`."""
        return f"mix({', '.join(labels_of(self.parts, 'share'))})"

    def check(self) -> None:
        """Raises UserError without parts, and for shares that are none, sum to more than 1, or leave nothing to a part."""
        self.require_parts("of", "[{longest: {share: 0.7}}, random]")
        who = f"selector '{self.label()}'"
        said = [part.amount for part in self.parts if part.amount is not None]
        for share in said:
            if not 0 < share <= 1:
                raise UserError(f"{who}: share={share} is not above 0 and at most 1.")
        if sum(said) > 1 + 1e-9:
            raise UserError(f"{who}: its shares sum to {sum(said):g}: at most 1 can be given out.")
        if len(said) < len(self.parts) and sum(said) > 1 - 1e-9:
            raise UserError(f"{who}: its shares sum to 1, so that nothing is left for a part without one.")

    def shares(self) -> list[float]:
        """The share of each part; those that are not said divide what is left."""
        said = [part.amount for part in self.parts if part.amount is not None]
        rest = (1 - sum(said)) / max(1, len(self.parts) - len(said))
        return [rest if part.amount is None else float(part.amount) for part in self.parts]

    def inner_selections(self, budget: Budget) -> list[tuple[Any, Budget]]:
        """The selection of each part: of a ranking for the whole budget, of others for their share."""
        return [(part.selector, asked) for part, asked in zip(self.parts, self._budgets(budget)) if asked.most]

    def _budgets(self, budget: Budget) -> list[Budget]:
        """What each part is asked for first. Of a ranking the share is the beginning; another selection is for its share."""
        each = range(len(budget.ids))
        return [
            budget if part.selector.nested else budget.of_part(each, quota)
            for part, quota in zip(self.parts, self._quotas(budget))
        ]

    def _quotas(self, budget: Budget) -> list[int]:
        return [int(np.floor(round(share * budget.limit, 9))) for share in self.shares()]

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        self.check()

        def ranking(selector: Any, asked: Budget) -> list[int]:
            found = context.selection_of(selector, asked).ids if asked.most else ()
            return [pool.position(id) for id in found]

        rankings = [ranking(part.selector, asked) for part, asked in zip(self.parts, self._budgets(budget))]
        taken: set[int] = set()
        shares = []
        for ranked, quota in zip(rankings, self._quotas(budget)):
            free = [position for position in ranked if position not in taken]
            shares.append(budget.of_part(range(len(pool)), quota).take(free).tolist())
            taken.update(shares[-1])
        order = in_proportion(shares)
        if len(budget.take([*order, *(n for n in range(len(pool)) if n not in taken)])) > len(order):
            longer = [
                ranked if part.selector.nested else ranking(part.selector, budget)
                for part, ranked in zip(self.parts, rankings)
            ]
            order += in_turn([[position for position in ranked if position not in taken] for ranked in longer])
        context.log(**{f"share_of_part_{number}": len(share) for number, share in enumerate(shares, 1)})
        return Selection.ordered(order, budget)
