"""What any of several selectors chooses."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

from selbench_plugins.selectors._composition import count_of, in_turn
from selbench_plugins.selectors._sets import SetComposition

from selbench.api import Budget, Context, Pool, Selection, UserError, selector


@selector("union")
class Union(SetComposition):
    """The examples that any of the parts selects; the parts take turns, each with its best that is not there yet.

    A part selects as much as the budget allows, or so much of the pool as its `keep` says. Where all have a `keep`, the union
    may have fewer examples than the budget.

    Options:
        of: the selectors, [{longest: {keep: 0.1}}, {kcenter: {keep: 500}}]; `keep` is a share or a number of the pool.
    """

    of: list[Any] = field(default_factory=list, metadata={"plugin": "selectors", "amount": "keep"})

    def __post_init__(self) -> None:
        self.follow_parts()
        self.nested = all(part.amount is not None or part.selector.nested for part in self.parts)
        self.may_stop_short = all(part.amount is not None or part.selector.may_stop_short for part in self.parts)

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: two parts without a model."""
        return {"of": [{"longest": {"unit": "characters", "keep": 0.1}}, "random"]}

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for a `keep` that does not fit the pool, and if all parts together keep less than the budget."""
        super().check_budget(budget)
        kept = [count_of(part.amount, len(budget.ids)) for part in self.parts if part.amount is not None]
        most = sum(kept) if budget.unit == "examples" and len(kept) == len(self.parts) else len(budget.ids)
        if most < budget.limit < len(budget.ids):
            raise UserError(
                f"selector '{self.label()}' has {most:,} examples at most, fewer than the budget of {budget.limit:,}: keep "
                "more, or budget=all takes what there is."
            )

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return Selection.ordered(in_turn(self.rankings(pool, budget, context)), budget)
