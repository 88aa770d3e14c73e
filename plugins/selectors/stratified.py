"""A selector applied to each source or category by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from selbench_plugins.selectors._composition import Composition, in_proportion, label_of

from selbench.api import Budget, Context, NotApplicable, Pool, Selection, UserError, selector


@selector("stratified")
class Stratified(Composition):
    """Another selector in each source or category, with a quota of the budget each.

    Options:
        of: the selector: its name or preset, or with options {kcenter: {first: medoid}}.
        by: source or category; the examples that have none are a group too.
        quotas: proportional to what a group has, or equal; what a group is too small for goes to the others.
    """

    of: Any = field(default=None, metadata={"plugin": "selector"})
    by: Literal["source", "category"] = "source"
    quotas: Literal["proportional", "equal"] = "proportional"

    def __post_init__(self) -> None:
        self.follow_parts()
        self.may_stop_short = any(part.selector.may_stop_short for part in self.parts)

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: a selector without a model."""
        return {"of": {"longest": {"unit": "characters"}}}

    @property
    def selectors_on_parts(self) -> list[Any]:
        """The selector, which sees one group at a time."""
        return [part.selector for part in self.parts]

    def inner_selections(self, budget: Budget) -> list[tuple[Any, Budget]]:
        """None from the whole pool."""
        return []

    def label(self) -> str:
        """`stratified(kcenter by source)`, `stratified(kcenter by source, equal quotas)`."""
        named = label_of(self.parts[0].selector) if self.parts else "nothing"
        return f"stratified({named} by {self.by}{', equal quotas' if self.quotas == 'equal' else ''})"

    def check(self) -> None:
        """Raises UserError without a selector, and for one that takes no budget."""
        self.require_parts("of", "kcenter")

    def check_examples(self, pool: Pool) -> None:
        """Raises UserError for a pool whose examples all lack what it goes by."""
        if not any(getattr(example, self.by) for example in pool):
            has = [word for word in ("source", "category") if any(getattr(example, word) for example in pool)]
            raise UserError(
                f"selector '{self.label()}': no example of pool '{pool.name}' has a {self.by}. Valid for this pool: "
                f"{', '.join(f'by={word}' for word in has) or 'none, it has neither sources nor categories'}."
            )

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        self.check()
        names = np.array([getattr(example, self.by) for example in pool])
        groups = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
        sizes = [int(budget.costs[members].sum()) for members in groups]
        quotas = quotas_of(sizes, budget.limit, self.quotas)
        # What is too little for the next example, where the budget is in tokens, goes to the next group. Those with most room
        # come last, so that less than one example is left over in the end.
        left, chosen = 0, {}
        for n in sorted(range(len(groups)), key=lambda n: (sizes[n] - quotas[n], n)):
            limit = min(quotas[n] + (left if budget.unit == "tokens" else 0), sizes[n])
            asked = budget.of_part(groups[n], limit)
            found = context.selection_of(self.of, asked, pool.part(groups[n])).ids if asked.most else ()
            chosen[n] = [pool.position(id) for id in found]
            left += quotas[n] - int(budget.costs[chosen[n]].sum()) if not self.may_stop_short else 0
        if not any(chosen.values()):
            raise NotApplicable(f"selector '{self.label()}' finds nothing to select in any group")
        context.log(groups=len(groups), groups_without_any=sum(not found for found in chosen.values()))
        return Selection.ordered(in_proportion([chosen[n] for n in range(len(groups))]), budget)


def quotas_of(sizes: Sequence[int], limit: int, how: str) -> list[int]:
    """What each group may spend, G whole numbers that sum to `limit` and are at most its size.

    Proportional quotas are rounded by the largest remainders. Equal ones are cut to the size of a group, and what that leaves
    goes to the others in equal parts. What cannot be divided goes to the larger group, of equal ones to the earlier.

    Args:
        sizes: what each group has, G numbers whose sum is at least `limit`.
        limit: what may be spent.
        how: "proportional" or "equal".
    """
    if how == "proportional":
        # Whole numbers: `limit * size` may be too large for a float to hold its remainder.
        quotas = [limit * size // sum(sizes) for size in sizes]
        owed = sorted(range(len(sizes)), key=lambda n: (-(limit * sizes[n] % sum(sizes)), -sizes[n], n))
        for n in owed[: limit - sum(quotas)]:
            quotas[n] += 1
        return quotas
    quotas, open_to_more = [0] * len(sizes), [n for n, size in enumerate(sizes) if size]
    while (left := limit - sum(quotas)) and open_to_more:
        each = left // len(open_to_more)
        if not each:
            for n in sorted(open_to_more, key=lambda n: (-sizes[n], n))[:left]:
                quotas[n] += 1
            break
        for n in open_to_more:
            quotas[n] = min(sizes[n], quotas[n] + each)
        open_to_more = [n for n in open_to_more if quotas[n] < sizes[n]]
    return quotas
