"""All of the pool."""

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("full", share=1.0, uses_scorer=False)
class Full:
    """Every example, in the order of the pool: what a selection has to be worth against. Ignores the budget."""

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return Selection(pool.ids)
