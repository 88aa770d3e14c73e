"""Pools that each break one rule."""

import os
import pathlib
import random

from selbench.api import Example, LoadedPool, Pool, pool


class Rows:
    def load(self):
        return LoadedPool(Pool([self.example(number) for number in self.numbers()], "rows"), self.labels())

    def numbers(self):
        return range(12)

    def example(self, number):
        return Example(f"r{number}", f"count to {number}", "one two three")

    def labels(self):
        return {}


@pool("asserting_pool")
class AssertingPool(Rows):
    def numbers(self):
        raise AssertionError


@pool("bare_pool")
class BarePool(Rows):
    """Returns the pool without a LoadedPool around it."""

    def load(self):
        return super().load().pool


@pool("same_ids")
class SameIds(Rows):
    def example(self, number):
        return Example("r", f"count to {number}", "one")


@pool("empty_pool")
class EmptyPool(Rows):
    def numbers(self):
        return []


@pool("number_ids")
class NumberIds(Rows):
    def example(self, number):
        return Example(number, f"count to {number}", "one")


@pool("none_input")
class NoneInput(Rows):
    def example(self, number):
        return Example(f"r{number}", "count", "one", input=None if number == 7 else "")


@pool("list_history")
class ListHistory(Rows):
    def example(self, number):
        return Example(f"r{number}", "count", "one", history=["before"])


@pool("surrogate")
class Surrogate(Rows):
    """Text that cannot be written as UTF-8."""

    def example(self, number):
        return Example(f"r{number}", "count", "one \ud800")


@pool("no_responses")
class NoResponses(Rows):
    def example(self, number):
        return Example(f"r{number}", "count", " ")


@pool("shuffled_pool")
class ShuffledPool(Rows):
    def numbers(self):
        return random.SystemRandom().sample(range(12), 12)


@pool("global_pool")
class GlobalPool(Rows):
    """Shuffles with Python's global generator."""

    def numbers(self):
        return random.sample(range(12), 12)


@pool("set_pool")
class SetPool(Rows):
    """In the order of a set of words."""

    def numbers(self):
        return list({f"{number}" for number in range(12)})


@pool("label_in_id")
class LabelInId(Rows):
    def example(self, number):
        return Example(f"{'easy' if number % 2 else 'hard'}-{number}", "count", "one")

    def labels(self):
        return {f"{kind}-{n}": {"kind": kind} for n in range(12) for kind in ["easy" if n % 2 else "hard"]}


@pool("label_in_category")
class LabelInCategory(Rows):
    def example(self, number):
        return Example(f"r{number}", "count", "one", category=f"skill{number % 3}")

    def labels(self):
        return {f"r{number}": {"skill": f"skill{number % 3}"} for number in range(12)}


@pool("foreign_labels")
class ForeignLabels(Rows):
    def labels(self):
        return {f"q{number}": {"skill": "counting"} for number in range(12)}


@pool("ragged_labels")
class RaggedLabels(Rows):
    def labels(self):
        return {"r0": {"skill": "counting"}, "r1": {"fault": "none"}}


@pool("traceback_pool")
class TracebackPool(Rows):
    """Opens its file without a word for one that is not there."""

    path: str = ""

    def numbers(self):
        return range(len(pathlib.Path(self.path).read_text())) if self.path else range(12)


@pool("deaf_pool")
class DeafPool(Rows):
    """Pays no heed to a file that is not there."""

    path: str = ""


@pool("cache_beside")
class CacheBeside(Rows):
    def numbers(self):
        pathlib.Path(__file__).with_suffix(".cache").write_text("12")
        return range(12)


@pool("changes_folder")
class ChangesFolder(Rows):
    def numbers(self):
        os.environ["ROWS"] = "12"
        return range(12)
