"""The arm that trains on the whole pool."""

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("full", share=1.0, nested=True, uses_scorer=False)
class Full:
    """Every example, in the order of the pool: the reference that a selection is compared with. Ignores the budget."""

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return Selection(pool.ids)
