"""What `union` and `intersection` have in common: parts that each select for the budget, or keep so much of the pool."""

from __future__ import annotations

from typing import Any

from selbench_plugins.selectors._composition import (
    Composition,
    count_of,
    examples_budget,
    labels_of,
    require_share_or_number,
)

from selbench.api import Budget, Context, NotApplicable, Part, Pool, UserError


class SetComposition(Composition):
    """A selector that is made of the selections of others from the whole pool."""

    def label(self) -> str:
        """`union(longest keep=0.1, kcenter)`."""
        return f"{self.plugin_name}({', '.join(labels_of(self.parts, 'keep'))})"

    def check(self) -> None:
        """Raises UserError without parts, and for a `keep` that is neither a share nor a number."""
        self.require_parts("of", "[{longest: {keep: 0.2}}, kcenter]")
        for label, part in zip(labels_of(self.parts, "keep"), self.parts):
            require_share_or_number(part.amount, f"selector '{self.plugin_name}': {label}")

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for a `keep` that is more than the pool has, or none of it."""
        for label, part in zip(labels_of(self.parts, "keep"), self.parts):
            has = len(budget.ids)
            if part.amount is not None and (count_of(part.amount, has) < 1 or part.amount > has):
                raise UserError(f"selector '{self.plugin_name}': {label} does not fit a pool of {has:,} examples.")

    def inner_selections(self, budget: Budget) -> list[tuple[Any, Budget]]:
        """The selection of each part."""
        return [(part.selector, _budget_of(part, budget)) for part in self.parts]

    def rankings(self, pool: Pool, budget: Budget, context: Context) -> list[list[int]]:
        """The positions that each part selects, best first."""
        self.check()
        asked = self.inner_selections(budget)
        if not all(part.limit for _, part in asked):
            raise NotApplicable(f"selector '{self.label()}': a part keeps none of {len(pool):,} examples")
        found = [context.selection_of(selector, part).ids for selector, part in asked]
        return [[pool.position(id) for id in ids] for ids in found]


def _budget_of(part: Part, budget: Budget) -> Budget:
    return budget if part.amount is None else examples_budget(budget.ids, count_of(part.amount, len(budget.ids)))
