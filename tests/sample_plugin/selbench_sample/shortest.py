from selbench.api import Budget, Context, Pool, Selection, selector


@selector("shortest")
class Shortest:
    """Shortest responses first."""

    by_words: bool = False

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        size = (lambda text: len(text.split())) if self.by_words else len
        return Selection.ranked([-size(example.response) for example in pool], budget)
