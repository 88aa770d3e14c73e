"""Suites that each break one rule. Their scores come from the model's weights, without running it."""

import json
import pathlib
import random

from selbench.api import Score, suite

ITEMS = tuple(f"i{number}" for number in range(6))


class Weighed:
    """An item's value is a number made of the model's weights."""

    def evaluate(self, model, context):
        return [self.score(self.values(model, context))]

    def score(self, items):
        return Score("weighed", "share", sum(items.values()) / len(items), items=items)

    def values(self, model, context):
        weights = (pathlib.Path(model.path) / "model.safetensors").read_bytes()
        return {id: weights[-100 * (number + 1)] / 255 for number, id in enumerate(self.ids(model, context))}

    def ids(self, model, context):
        return ITEMS


@suite("asserting_suite")
class AssertingSuite(Weighed):
    def ids(self, model, context):
        raise AssertionError


@suite("dict_suite")
class DictSuite(Weighed):
    def evaluate(self, model, context):
        return self.values(model, context)


@suite("nan_suite")
class NanSuite(Weighed):
    def score(self, items):
        return Score("weighed", "share", float("nan"), items=items)


@suite("no_headline")
class NoHeadline(Weighed):
    def score(self, items):
        return Score("weighed", "share", 0.5, headline=False)


@suite("not_the_mean")
class NotTheMean(Weighed):
    def score(self, items):
        return Score("weighed", "share", max(items.values()) + 1, items=items)


@suite("drops_failures")
class DropsFailures(Weighed):
    """Leaves out the items on which a model is bad."""

    def values(self, model, context):
        found = super().values(model, context)
        return {id: value for id, value in found.items() if value > 0.5 or id == "i0"}


@suite("seeded_items")
class SeededItems(Weighed):
    """Draws other items for every seed."""

    def ids(self, model, context):
        return sorted(map(str, context.rng.choice(100, 6, replace=False)))


@suite("numbered")
class Numbered(Weighed):
    """Numbers its items on from the last evaluation."""

    count = 0

    def ids(self, model, context):
        Numbered.count += 6
        return [str(Numbered.count + number) for number in range(6)]


@suite("random_suite")
class RandomSuite(Weighed):
    def values(self, model, context):
        return {id: random.SystemRandom().random() for id in ITEMS}


@suite("global_suite")
class GlobalSuite(Weighed):
    """Draws from Python's global generator."""

    def values(self, model, context):
        return {id: random.random() for id in ITEMS}


@suite("hash_suite")
class HashSuite(Weighed):
    """Names its items by Python's salted hash."""

    def ids(self, model, context):
        return [str(hash(id)) for id in ITEMS]


@suite("other_texts")
class OtherTexts(Weighed):
    """Its texts have other ids than its items."""

    def texts(self):
        return {"weighed": {str(number): f"question {number}" for number in range(6)}}


@suite("empty_texts")
class EmptyTexts(Weighed):
    def texts(self):
        return {"weighed": dict.fromkeys(ITEMS, "")}


@suite("spoils_the_model")
class SpoilsTheModel(Weighed):
    """Writes into the model's folder."""

    def ids(self, model, context):
        path = pathlib.Path(model.path)
        if "planted" not in path.parts:
            (path / "scores.json").write_text(json.dumps(ITEMS))
        return ITEMS


@suite("renames_the_model")
class RenamesTheModel(Weighed):
    """Writes on the reference it is given."""

    def ids(self, model, context):
        model.name = "scored"
        return ITEMS


@suite("leaves_results")
class LeavesResults(Weighed):
    def ids(self, model, context):
        pathlib.Path(__file__).with_suffix(".json").write_text("[]")
        return ITEMS
