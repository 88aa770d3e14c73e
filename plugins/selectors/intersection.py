"""What all of several selectors choose."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Any

from selbench_plugins.selectors._sets import SetComposition

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("intersection", may_stop_short=True)
class Intersection(SetComposition):
    """The examples that every part selects, in the order of the first part.

    A part selects as much as the budget allows, or so much of the pool as its `keep` says. As a rule fewer examples than the
    budget are left: with a larger `keep` there are more.

    Options:
        of: the selectors, [{longest: {keep: 0.5}}, {kcenter: {keep: 0.5}}]; `keep` is a share or a number of the pool.
    """

    of: list[Any] = field(default_factory=list, metadata={"plugin": "selectors", "amount": "keep"})

    def __post_init__(self) -> None:
        self.follow_parts()
        # Without a `keep`, a smaller budget may lose an example that all agree on before one that comes later in the order.
        self.nested = all(part.amount is not None for part in self.parts)

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: two parts without a model."""
        return {"of": [{"longest": {"unit": "characters", "keep": 0.5}}, {"random": {"keep": 0.75}}]}

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        first, *others = self.rankings(pool, budget, context)
        agreed = set(first).intersection(*others)
        context.log(agreed=len(agreed))
        return Selection.ordered([position for position in first if position in agreed], budget)
