"""Nothing of the pool."""

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("base", share=0.0, uses_scorer=False)
class Base:
    """No example and no fine-tuning: the base model as it is. Ignores the budget."""

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return Selection(())
