"""Plugins that do almost nothing, so that tests of the framework around them are fast."""

import json
from pathlib import Path

from selbench.api import Context, ModelRef, NotApplicable, Pool, Score, Selection, selector, suite, trainer


@trainer("toy_trainer")
class ToyTrainer:
    """Writes down which examples it was given."""

    crash: bool = False

    def train(self, examples, model: ModelRef, context: Context) -> ModelRef:
        if self.crash:
            raise RuntimeError("the trainer fell over")
        folder = context.scratch / "weights"
        folder.mkdir()
        (folder / "seen.json").write_text(json.dumps([example.id for example in examples]))
        context.log(steps=len(examples))
        return ModelRef(name=model.name, path=str(folder))


@suite("toy_suite")
class ToySuite:
    """Scores a model by how many examples it has seen; the base model scores zero."""

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        seen = Path(model.path) / "seen.json"
        ids = json.loads(seen.read_text()) if seen.exists() else []
        items = {f"item{i}": float(f"{i:04d}" in ids or len(ids) > 8 * i) for i in range(10)}
        return [Score("toy", "accuracy", sum(items.values()) / 10, items=items)]


@selector("too_few")
class TooFew:
    """One id less than asked."""

    def select(self, pool: Pool, budget, context) -> Selection:
        return Selection(pool.ids[: budget.limit - 1])


@selector("too_many")
class TooMany:
    """One id more than asked."""

    def select(self, pool: Pool, budget, context) -> Selection:
        return Selection(pool.ids[: budget.limit + 1])


@selector("twice")
class Twice:
    """The same id again and again."""

    def select(self, pool: Pool, budget, context) -> Selection:
        return Selection((pool.ids[0],) * budget.limit)


@selector("foreign")
class Foreign:
    """Ids that are not in the pool."""

    def select(self, pool: Pool, budget, context) -> Selection:
        return Selection(("nowhere", *pool.ids[1 : budget.limit]))


@selector("crashing")
class Crashing:
    """Divides by zero."""

    def select(self, pool: Pool, budget, context) -> Selection:
        return 1 / 0


@selector("shy")
class Shy:
    """Never applies."""

    def select(self, pool: Pool, budget, context) -> Selection:
        raise NotApplicable("it has stage fright")


@suite("forgetful_suite")
class ForgetfulSuite:
    """Scores three of its five items and keeps silent about the others."""

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        return [Score("toy", "accuracy", 1.0, items={f"item{i}": 1.0 for i in range(3)}, cut=1)]

    def texts(self):
        return {"toy": {f"item{i}": f"the words of item number {i}" for i in range(5)}}


@suite("miscounting_suite")
class MiscountingSuite:
    """Counts what is no number."""

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        return [Score("toy", "accuracy", 1.0, left_out="some")]
