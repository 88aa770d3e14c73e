"""Every selector that ships keeps the contract, and the checks notice one that does not."""

from __future__ import annotations

import pytest

from selbench.plugins import discover
from selbench.testing import Subject, selector_checks
from selbench.testing import selectors as checks

NAMES = [plugin.name for plugin in discover().of_kind("selector")]
VARIANTS = {
    "kcenter euclidean": ("kcenter", {"encoder": "tfidf", "metric": "euclidean", "first": "medoid"}),
    "mads rounds": ("mads", {"objective": "set_cover", "weights": "idf", "layers": "all"}),
    "random balanced": ("random", {"balanced": "category"}),
    "random of a length": ("random", {"match": "length", "quantile": 0.8}),
    "random like longest": ("random", {"match": "length", "like": "longest"}),
    "random like kcenter": (
        "random",
        {"match": "length", "like": {"name": "kcenter", "encoder": "tfidf", "first": "medoid"}},
    ),
}
SMALL = {"latents": 64, "k": 4, "train_tokens": 2000}  # an autoencoder is trained at every call here: nothing is cached
OPTIONS = {"sae_greedselect": SMALL, "sae_simscale": SMALL, "kcenter": {"encoder": "tfidf"}}
SUBJECTS = {name: (name, OPTIONS.get(name, {})) for name in NAMES} | VARIANTS


@pytest.mark.parametrize("check", selector_checks, ids=lambda check: check.__name__)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_conformance(subject, check, tmp_path):
    if check is checks.two_processes_agree and subject in VARIANTS:
        pytest.skip("the plain selector has shown it; a process costs seconds")
    name, options = SUBJECTS[subject]
    check(Subject(name, options), tmp_path)


BAD = '''
import random, pathlib
import numpy as np
from selbench.api import Selection, selector

class Base:
    def select(self, pool, budget, context):
        return Selection.ordered(self.order(pool, context), budget)

@selector("global_seed")
class GlobalSeed(Base):
    """Draws from the global generator."""
    def order(self, pool, context):
        return np.random.permutation(len(pool))

@selector("short")
class Short:
    """Selects one example too few."""
    def select(self, pool, budget, context):
        return Selection(pool.ids[: budget.limit - 1])

@selector("not_nested", nested=True)
class NotNested:
    """Selects the last examples, so that no selection is a prefix, but claims to be nested."""
    def select(self, pool, budget, context):
        return Selection.ordered(range(len(pool) - budget.most, len(pool)), budget)

@selector("positional")
class Positional(Base):
    """Selects the first examples: the order of the pool decides."""
    def order(self, pool, context):
        return range(len(pool))

@selector("scribbler")
class Scribbler(Base):
    """Writes a file outside scratch."""
    def order(self, pool, context):
        pathlib.Path(__file__).with_suffix(".log").write_text("was here")
        return range(len(pool))

@selector("asking")
class Asking(Base):
    """Asks the planted pool for its labels, without an import that the source shows."""
    def order(self, pool, context):
        from selbench.plugins import discover
        labels = discover().get("pool", "planted").cls(size=60).load().labels
        return sorted(range(len(pool)), key=lambda i: str(labels.get(pool[i].id)))

@selector("finding")
class Finding(Base):
    """Finds the labels in memory."""
    def order(self, pool, context):
        import gc
        from selbench.api import LoadedPool
        loaded = [o for o in gc.get_objects() if type(o) is LoadedPool]
        return sorted(range(len(pool)), key=lambda i: str([o.labels.get(pool[i].id) for o in loaded]))

@selector("reading")
class Reading(Base):
    """Reads the items of a suite from their files."""
    def order(self, pool, context):
        import selbench
        folder = pathlib.Path(selbench.__file__).parent / "planted" / "tasks"
        [path.read_text() for path in folder.rglob("*.yaml")]
        return range(len(pool))

@selector("hashing")
class Hashing(Base):
    """Sorts by Python's salted hash."""
    def order(self, pool, context):
        return sorted(range(len(pool)), key=lambda i: hash(pool[i].id))
'''


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("global_seed", checks.global_randomness_is_left_alone, "numpy's global random state was changed"),
        ("short", checks.exactly_the_budget, "budget 1: 0 ids, expected 1"),
        ("not_nested", checks.smaller_budgets_are_prefixes, "is no prefix"),
        ("positional", checks.order_of_the_pool_does_not_matter, "a shuffled pool"),
        ("scribbler", checks.nothing_is_written_outside_scratch, "bad.log"),
        ("finding", checks.neither_labels_nor_test_items_are_read, "the hidden labels of the pool"),
        ("reading", checks.neither_labels_nor_test_items_are_read, r"selbench.planted \(it read"),
        ("asking", checks.neither_labels_nor_test_items_are_read, "it ran code of"),
        ("hashing", checks.two_processes_agree, "another one"),
    ],
)
def test_a_selector_that_breaks_a_rule_is_caught(name, check, said, tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(AssertionError, match=said):
        check(Subject(name, plugin_path=[str(tmp_path)]), tmp_path / "scratch")


def test_the_check_verb(tmp_path, capfd):
    from selbench.cli.main import run

    assert run(["check", "longest", "selector.unit=characters"]) == 0
    assert "10 of 10 checks passed" in capfd.readouterr().out
    (tmp_path / "bad.py").write_text(BAD)
    assert run(["check", "short", f"plugin_path={tmp_path}"]) == 1
    out = capfd.readouterr().out
    assert "failed" in out and "rule: " in out
    assert run(["check", "nobody"]) == 2
