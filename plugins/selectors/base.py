"""The arm without fine-tuning."""

from selbench.api import Budget, Context, Pool, Selection, selector


@selector("base", share=0.0, nested=True, uses_scorer=False)
class Base:
    """Selects no example: the base model is evaluated without fine-tuning. Ignores the budget."""

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        return Selection(())
