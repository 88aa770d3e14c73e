"""Selectors that look odd and keep the contract."""

from typing import Literal

import numpy as np

from selbench.api import Example, NotApplicable, Pool, Selection, selector


def by_length(pool):
    return sorted(range(len(pool)), key=lambda i: (-len(pool[i].response), pool[i].id))


class Ordered:
    def select(self, pool, budget, context):
        return Selection.ordered(self.order(pool, context), budget)


@selector("numpy_ids")
class NumpyIds:
    """Gives its ids as NumPy's strings, in an array."""

    def select(self, pool, budget, context):
        return Selection(np.array(pool.ids)[budget.take(by_length(pool))])


@selector("list_ids")
class ListIds:
    def select(self, pool, budget, context):
        return Selection([pool[int(i)].id for i in budget.take(by_length(pool))])


@selector("draws", stochastic=True)
class Draws(Ordered):
    def order(self, pool, context):
        return context.rng.permutation(len(pool))


@selector("prefers_long", stochastic=True)
class PrefersLong(Ordered):
    """Draws with probabilities in proportion to length, from a generator made of the seed."""

    def order(self, pool, context):
        weights = np.array([len(example.response) for example in pool], float)
        rng = np.random.default_rng([context.seed, 7])
        return np.argsort(-np.log(rng.random(len(pool))) / weights)


@selector("declared_and_steady", stochastic=True)
class DeclaredAndSteady(Ordered):
    """Declared to draw, and does so only for ties that do not come."""

    def order(self, pool, context):
        context.rng.random()
        return by_length(pool)


@selector("features_of_the_seed", stochastic=True, drawn_once="nothing much")
class FeaturesOfTheSeed(Ordered):
    """Asks for another feature under every seed, and announces it."""

    def needs(self, seed):
        from selbench.features.embeddings import TextEmbeddings

        return [TextEmbeddings(dimension=5 + seed % 3)]

    def order(self, pool, context):
        context.features(*self.needs(context.seed))
        return by_length(pool)


@selector("with_choices")
class WithChoices(Ordered):
    """Options with choices.

    Options:
        end: which end.
    """

    end: Literal["long", "short"] = "long"
    level: Literal[1, 2] = 1

    def order(self, pool, context):
        return by_length(pool)[:: 1 if self.end == "long" else -1]


@selector("not_nested_and_says_so")
class NotNestedAndSaysSo:
    """Spreads its choice evenly over the lengths, so that a smaller budget chooses others."""

    def select(self, pool, budget, context):
        order = by_length(pool)
        if budget.unit == "tokens":
            return Selection.ordered(order[::-1], budget)
        picks = np.linspace(0, len(pool) - 1, budget.limit).round().astype(int)
        return Selection(tuple(pool[order[i]].id for i in dict.fromkeys(picks.tolist())))


@selector("towards", targeted=True, nested=True)
class Towards(Ordered):
    """The examples that share most words with the target."""

    def order(self, pool, context):
        wanted = {word for examples in context.target.values() for e in examples for word in e.text.split()}
        shared = [len(wanted & set(example.text.split())) for example in pool]
        return sorted(range(len(pool)), key=lambda i: (-shared[i], -len(pool[i].response), pool[i].id))


@selector("large_pools_only")
class LargePoolsOnly(Ordered):
    def order(self, pool, context):
        if len(pool) < 30:
            raise NotApplicable(f"{len(pool)} examples are too few to cluster")
        return by_length(pool)


@selector("no_pool_will_do")
class NoPoolWillDo(Ordered):
    """Needs a metadata column that generated pools have not."""

    def order(self, pool, context):
        if not all(example.source.startswith("http") for example in pool):
            raise NotApplicable("the sources of the examples are no addresses")
        return by_length(pool)


@selector("brings_a_pool")
class BringsAPool(NoPoolWillDo):
    """Needs a pool of its own, and says what one looks like."""

    def check_pool(self, size, seed):
        return Pool(
            [Example(f"{seed}-{i}", f"page {i}", "word " * (i + 1), source=f"http://site/{i}") for i in range(size)],
            "pages",
        )


@selector("whole_budgets_only")
class WholeBudgetsOnly(Ordered):
    """Refuses budgets in tokens."""

    def select(self, pool, budget, context):
        if budget.unit == "tokens":
            raise NotApplicable("it counts examples")
        return Selection.ordered(by_length(pool), budget)


@selector("half", share=0.5)
class Half(Ordered):
    def order(self, pool, context):
        return by_length(pool)


@selector("writes_scratch", uses_scorer=False)
class WritesScratch(Ordered):
    def order(self, pool, context):
        (context.scratch / "lengths.txt").write_text(str(len(pool)))
        (context.scratch / "deep").mkdir(exist_ok=True)
        return by_length(pool)


@selector("all_tied")
class AllTied:
    """Every score is the same: the order of the pool breaks the ties."""

    def select(self, pool, budget, context):
        return Selection.ranked(np.ones(len(pool)), budget)


@selector("copies_first")
class CopiesFirst(Ordered):
    """Changes copies of the examples."""

    def order(self, pool, context):
        import dataclasses

        changed = [dataclasses.replace(example, response=example.response.upper()) for example in pool]
        return by_length(changed)
