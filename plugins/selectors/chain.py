"""Selectors one after the other: each chooses from what the one before it has kept."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from selbench_plugins.selectors._composition import (
    Composition,
    count_of,
    examples_budget,
    labels_of,
    require_share_or_number,
)

from selbench.api import Budget, Context, NotApplicable, Part, Pool, Selection, UserError, selector


@selector("chain")
class Chain(Composition):
    """Filter, rank, diversify: each step selects from the examples that the step before it has kept.

    Every step but the last has a `keep`: the share, or the number, of the examples it is given that it passes on, which stand in
    the order of the pool again. A step that may stop short, such as a filter or a published subset, passes on all that it
    finds where it has none. The last step fills the budget; where less is left, the chain stops short.

    Options:
        steps: the selectors in their order, [{longest: {keep: 0.4}}, {kcenter: {first: medoid}}]: names, presets, or with
            options; `keep` among the options, or beside them: {longest: {}, keep: 0.4}.
    """

    steps: list[Any] = field(default_factory=list, metadata={"plugin": "selectors", "amount": "keep"})

    def __post_init__(self) -> None:
        self.follow_parts()
        parts = self.parts
        self.nested = bool(parts) and parts[-1].selector.nested
        self.may_stop_short = len(parts) > 1 or any(part.selector.may_stop_short for part in parts)

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: two steps without a model, of which one is random."""
        return {"steps": [{"longest": {"unit": "characters", "keep": 0.5}}, {"random": {"balanced": "source"}}]}

    @property
    def selectors_on_parts(self) -> list[Any]:
        """The steps that see a part of the pool only."""
        return [part.selector for part in self.parts[1:]]

    def label(self) -> str:
        """`chain(longest keep=0.4 → kcenter)`."""
        return f"chain({' → '.join(labels_of(self.parts, 'keep'))})"

    def check(self) -> None:
        """Raises UserError without steps, for a step without a `keep` that needs one, and for a last step that has one."""
        self.require_parts("steps", "[{longest: {keep: 0.4}}, kcenter]")
        for number, part in enumerate(self.parts, 1):
            who = self._named(number)
            require_share_or_number(part.amount, who)
            last = number == len(self.parts)
            if last and part.amount is not None:
                raise UserError(f"{who} is the last step, which fills the budget: leave its keep out.")
            if not last and part.amount is None and not part.selector.may_stop_short:
                example = f"{{{part.selector.plugin_name}: {{keep: 0.4}}}}"
                raise UserError(f"{who} has no keep, how much it passes on: a share or a number, as {example}.")

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if it is sure beforehand that a step keeps nothing, or that too little is left for the budget."""
        left = len(budget.ids)
        for number, part in enumerate(self.parts[:-1], 1):
            if isinstance(part.amount, int) and part.amount > left:
                raise UserError(f"{self._named(number)} is given {left:,} examples at most: it cannot keep more.")
            kept = left if part.amount is None else count_of(part.amount, left)
            if kept < 1:
                raise UserError(f"{self._named(number)} keeps none of the {left:,} examples that it is given.")
            self._check_inner(number, examples_budget(budget.ids[:left], kept))
            left = kept
        if budget.unit == "examples" and left < budget.limit < len(budget.ids):
            raise UserError(
                f"selector '{self.label()}' leaves {left:,} of {len(budget.ids):,} examples to its last step, fewer than the "
                f"budget of {budget.limit:,}: keep more, or budget=all takes what is left."
            )
        self._check_inner(len(self.parts), budget.of_part(range(left), budget.limit))

    def _check_inner(self, number: int, budget: Budget) -> None:
        """The check of a composition that sees a part of the pool; of other selectors, which look at the ids, there is none."""
        inner = self.parts[number - 1].selector
        if number > 1 and isinstance(inner, Composition) and hasattr(inner, "check_budget"):
            inner.check_budget(budget)

    def inner_selections(self, budget: Budget) -> list[tuple[Any, Budget]]:
        """The first step's selection from the whole pool."""
        if not self.parts:
            return []
        first = self._budget_of(self.parts[0], budget, len(self.parts) == 1)
        return [(self.parts[0].selector, first)] if first.limit else []

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        self.check()
        given, within, found = budget, None, Selection(())
        for number, part in enumerate(self.parts, 1):
            asked = self._budget_of(part, given, number == len(self.parts))
            if asked.limit < 1:
                raise NotApplicable(
                    f"{self._named(number)} keeps none of the {len(given.ids):,} examples that it is given"
                )
            found = context.selection_of(part.selector, asked, within)
            if not found.ids:
                raise NotApplicable(
                    f"{self._named(number)} finds none of the {len(given.ids):,} examples that it is given"
                )
            context.log(**{f"kept_by_step_{number}": len(found.ids)})
            positions = np.sort([pool.position(id) for id in found.ids])
            within, given = pool.part(positions), budget.of_part(positions, budget.limit)
        return Selection(found.ids, found.scores)

    def _budget_of(self, part: Part, given: Budget, last: bool) -> Budget:
        """What a step may select of the examples that it is given."""
        if last:
            return given
        everything = len(given.ids)
        return examples_budget(given.ids, everything if part.amount is None else count_of(part.amount, everything))

    def _named(self, number: int) -> str:
        return f"step {number} ({labels_of(self.parts, 'keep')[number - 1]}) of selector '{self.label()}'"
