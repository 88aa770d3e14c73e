"""Selectors that each break one rule."""

import os
import pathlib
import random
import time

import numpy as np

from selbench.api import Selection, selector


class Ordered:
    def select(self, pool, budget, context):
        return Selection.ordered(self.order(pool, context), budget)


def by_length(pool):
    return sorted(range(len(pool)), key=lambda i: -len(pool[i].response))


@selector("bare_assertion")
class BareAssertion:
    """Raises AssertionError without a word."""

    def select(self, pool, budget, context):
        assert len(pool) < 0


@selector("returns_none")
class ReturnsNone:
    def select(self, pool, budget, context):
        return None


@selector("exits")
class Exits:
    def select(self, pool, budget, context):
        raise SystemExit(0)


@selector("generator_ids")
class GeneratorIds:
    def select(self, pool, budget, context):
        return Selection(id for id in pool.ids[: budget.limit])


@selector("global_seed")
class GlobalSeed(Ordered):
    """Draws from NumPy's global generator."""

    def order(self, pool, context):
        return np.random.permutation(len(pool))


@selector("python_seed")
class PythonSeed(Ordered):
    """Draws from Python's global generator, and puts its state back: it is read, not changed."""

    def order(self, pool, context):
        state = random.getstate()
        order = random.sample(range(len(pool)), len(pool))
        random.setstate(state)
        return order


@selector("clock")
class Clock(Ordered):
    """Draws with a seed of its own: the clock."""

    def order(self, pool, context):
        return np.random.default_rng(time.perf_counter_ns()).permutation(len(pool))


@selector("short")
class Short:
    """Selects one example too few."""

    def select(self, pool, budget, context):
        return Selection(tuple(pool[i].id for i in by_length(pool)[: budget.limit - 1]))


@selector("twice")
class Twice:
    """Selects its best example twice."""

    def select(self, pool, budget, context):
        ids = [pool[i].id for i in by_length(pool)[: budget.limit]]
        return Selection((ids[0], *ids[: budget.limit - 1]) if budget.limit > 1 else tuple(ids))


@selector("foreign")
class Foreign:
    """Selects an example that is not in the pool."""

    def select(self, pool, budget, context):
        ids = [pool[i].id for i in by_length(pool)[: budget.limit]]
        return Selection((*ids[:-1], "another"))


@selector("ignores_tokens")
class IgnoresTokens:
    """Counts examples whatever the budget's unit is."""

    def select(self, pool, budget, context):
        return Selection(tuple(pool[i].id for i in by_length(pool)[: min(budget.limit, len(pool))]))


@selector("too_many_scores")
class TooManyScores:
    """Returns the scores of the whole pool."""

    def select(self, pool, budget, context):
        scores = np.array([len(example.response) for example in pool])
        return Selection(tuple(pool[i].id for i in by_length(pool)[: budget.limit]), scores)


@selector("not_nested", nested=True)
class NotNested:
    """Selects the examples closest to the mean of as many, but claims to be nested."""

    def select(self, pool, budget, context):
        return Selection.ordered(by_length(pool)[len(pool) - budget.most :], budget)


@selector("positional")
class Positional(Ordered):
    """The first examples."""

    def order(self, pool, context):
        return range(len(pool))


@selector("scores_positions")
class ScoresPositions:
    """The last examples; at the first pick that differs the scores are equal, which looks like a tie."""

    def select(self, pool, budget, context):
        return Selection.ranked(range(len(pool)), budget)


@selector("positional_by_chance", stochastic=True)
class PositionalByChance(Ordered):
    """Draws, but from the first half of the pool only."""

    def order(self, pool, context):
        half = len(pool) // 2
        return [*context.rng.permutation(half), *range(half, len(pool))]


@selector("stochastic_first", stochastic=True)
class StochasticFirst(Ordered):
    """Declared to draw, takes the first."""

    def order(self, pool, context):
        context.rng.random()
        return range(len(pool))


@selector("undeclared_seed")
class UndeclaredSeed(Ordered):
    def order(self, pool, context):
        return context.rng.permutation(len(pool))


@selector("undeclared_scorer", uses_scorer=False)
class UndeclaredScorer(Ordered):
    def order(self, pool, context):
        assert context.scorer.path
        return by_length(pool)


@selector("undeclared_target")
class UndeclaredTarget(Ordered):
    def order(self, pool, context):
        wanted = {word for examples in context.target.values() for e in examples for word in e.response.split()}
        return sorted(range(len(pool)), key=lambda i: len(wanted & set(pool[i].response.split())))


@selector("hidden_seed")
class HiddenSeed(Ordered):
    """Goes round the context's refusal."""

    def order(self, pool, context):
        return np.random.default_rng(context._seed).permutation(len(pool))


@selector("hidden_scorer", uses_scorer=False)
class HiddenScorer(Ordered):
    """Goes round the context's refusal."""

    def order(self, pool, context):
        return np.random.default_rng(context._scorer.max_length).permutation(len(pool))


@selector("fails_on_one")
class FailsOnOne(Ordered):
    """Divides by the spread of the pool."""

    def order(self, pool, context):
        spread = len({len(example.response) for example in pool}) - 1
        return sorted(range(len(pool)), key=lambda i: -len(pool[i].response) / spread)


@selector("fails_on_long")
class FailsOnLong(Ordered):
    """Fails where a response has 20 words or more."""

    def order(self, pool, context):
        if any(len(example.response.split()) >= 20 for example in pool):
            raise IndexError("position 20 of a table of 20")
        return by_length(pool)


@selector("identical_once")
class IdenticalOnce:
    """Drops duplicates, also where the budget needs them."""

    def select(self, pool, budget, context):
        distinct = {pool[i].response: i for i in reversed(by_length(pool))}
        return Selection.ordered(sorted(distinct.values(), key=lambda i: -len(pool[i].response)), budget)


@selector("scribbler")
class Scribbler(Ordered):
    """Writes a file outside scratch."""

    def order(self, pool, context):
        pathlib.Path(__file__).with_suffix(".log").write_text("was here")
        return by_length(pool)


@selector("folder_maker")
class FolderMaker(Ordered):
    """Makes a folder outside scratch."""

    def order(self, pool, context):
        folder = pathlib.Path(__file__).with_suffix(".folder")
        folder.mkdir()
        folder.rmdir()
        return by_length(pool)


@selector("mutating")
class Mutating(Ordered):
    """Lowers the case of the pool's own examples."""

    def order(self, pool, context):
        for example in pool:
            object.__setattr__(example, "response", example.response.upper())
        return by_length(pool)


@selector("mutating_target", targeted=True)
class MutatingTarget(Ordered):
    """Changes a target example."""

    def order(self, pool, context):
        (target,) = context.target.values()
        object.__setattr__(target[0], "category", "seen")
        return by_length(pool)


@selector("moving")
class Moving(Ordered):
    """Leaves an environment variable behind."""

    def order(self, pool, context):
        os.environ["MY_METHOD"] = str(len(pool))
        return by_length(pool)


@selector("double")
class Double(Ordered):
    """Makes doubles torch's default type."""

    def order(self, pool, context):
        import torch

        torch.set_default_dtype(torch.float64)
        return by_length(pool)


@selector("asking")
class Asking(Ordered):
    """Asks the planted pool for its labels, without an import that the source shows."""

    def order(self, pool, context):
        from selbench.plugins import discover

        assert discover().get("pool", "planted").cls(size=60).load().labels
        return by_length(pool)


@selector("finding")
class Finding(Ordered):
    """Finds the labels in memory."""

    def order(self, pool, context):
        import gc

        from selbench.api import LoadedPool

        labels = [thing.labels for thing in gc.get_objects() if type(thing) is LoadedPool]
        any(label.get(pool[0].id) for label in labels)
        return by_length(pool)


@selector("reading")
class Reading(Ordered):
    """Reads the items of a suite from their files."""

    def order(self, pool, context):
        import selbench

        folder = pathlib.Path(selbench.__file__).parent / "planted" / "tasks"
        assert [path.read_text() for path in folder.rglob("*.yaml")]
        return by_length(pool)


@selector("hashing")
class Hashing(Ordered):
    """Sorts by Python's salted hash."""

    def order(self, pool, context):
        return sorted(range(len(pool)), key=lambda i: hash(pool[i].id))


@selector("odd_option")
class OddOption(Ordered):
    """Has an option without a default."""

    size: int

    def order(self, pool, context):
        return by_length(pool)


@selector("changing_option")
class ChangingOption(Ordered):
    """Adds to an option each time it is made."""

    size: int = 1

    def __post_init__(self):
        self.size += 1

    def order(self, pool, context):
        return by_length(pool)


@selector("two_lines")
class TwoLines(Ordered):
    """Its label has two lines."""

    def label(self):
        return "two\nlines"

    def order(self, pool, context):
        return by_length(pool)


@selector("numbers_its_draws", uses_scorer=False, drawn_once=[1])
class NumbersItsDraws(Ordered):
    """Says by a number what all seeds share."""

    def order(self, pool, context):
        return by_length(pool)


@selector("understated_for_seeds", uses_scorer=False, stochastic=True)
class UnderstatedForSeeds(Ordered):
    """Announces the feature of one seed for all of them."""

    def needs(self, seed):
        from selbench.features.embeddings import TextEmbeddings

        return [TextEmbeddings(dimension=5)]

    def order(self, pool, context):
        from selbench.features.embeddings import TextEmbeddings

        context.features(TextEmbeddings(dimension=5 + context.seed % 3))
        return by_length(pool)


@selector("understated", uses_scorer=False)
class Understated(Ordered):
    """Announces no feature, and asks for one."""

    def needs(self, seed):
        return []

    def order(self, pool, context):
        from selbench.features.embeddings import TextEmbeddings

        values = context.features(TextEmbeddings(dimension=4))["values"]
        return sorted(range(len(pool)), key=lambda i: (-len(pool[i].response), float(values[i][0])))
