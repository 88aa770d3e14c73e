"""What a plugin is given it cannot change without being found out, and no other cell meets the change."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

from selbench.api import Budget, Context, Example, Pool

PLUGINS = '''
from selbench.api import ModelRef, Selection, selector, trainer

@selector("rewriting", uses_scorer=False)
class Rewriting:
    """Writes on what it is given."""
    what: str = "response"
    fail: bool = False
    def select(self, pool, budget, context):
        if self.what == "response":
            object.__setattr__(pool[3], "response", "something else")
        if self.what == "extra":
            object.__setattr__(pool[3], "score", 1.0)
        if self.what == "order":
            pool.examples = pool.examples[::-1]
        if self.what == "costs":
            budget.costs[:] = 0
        if self.fail:
            raise RuntimeError("and then fails")
        return Selection(tuple(f"{i:04d}" for i in range(budget.limit)))

@trainer("rewriting_trainer")
class RewritingTrainer:
    """Writes on what it is given."""
    what: str = "response"
    def train(self, examples, model, context):
        if self.what == "response":
            object.__setattr__(examples[0], "response", "something else")
        else:
            examples.sort(key=lambda example: example.response)
            examples.pop()
        (context.scratch / "w").mkdir()
        (context.scratch / "w" / "seen.json").write_text("[]")
        return ModelRef("tuned", str(context.scratch / "w"))

@trainer("writing_down")
class WritingDown:
    """Writes down what it was given."""
    def train(self, examples, model, context):
        (context.scratch / "w").mkdir()
        text = " ".join(sorted(example.response for example in examples))
        assert "something else" not in text
        (context.scratch / "w" / "seen.json").write_text("[]")
        return ModelRef("tuned", str(context.scratch / "w"))
'''


@pytest.fixture
def own(settings, tmp_path):
    (tmp_path / "rewriting.py").write_text(PLUGINS)
    return [f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:]]


@pytest.mark.parametrize("fail", ["false", "true"])
@pytest.mark.parametrize(
    "what, says",
    [
        ("response", "in select(): '0003'"),
        ("extra", "'0003'"),
        ("order", "their order or number"),
        ("costs", "read-only"),
    ],
)
def test_a_selector_that_changes_examples_fails_and_the_next_cell_has_the_real_ones(
    selbench, own, tmp_path, what, says, fail
):
    if (what, fail) == ("costs", "true"):
        return
    rewriting = [f"selector.what={what}", f"selector.fail={fail}"]
    assert selbench(*own, "selector=rewriting", *rewriting, "budget=4").status == 1
    ran = selbench(*own, "trainer=writing_down", "selector=full")
    assert ran.status == 0, ran.err
    found = {record["axes"]["selector"].partition("(")[0]: record for record in records(tmp_path / "outputs")}
    reason = found["rewriting"]["reason"]
    assert ("and then fails" if fail == "true" else says) in reason
    assert found["rewriting"]["axes"]["pool_key"] == found["full"]["axes"]["pool_key"]


def test_within_one_sweep_too(selbench, own, tmp_path):
    ran = selbench("-m", *own, "trainer=writing_down", "selector=rewriting,full,random", "budget=40")
    assert ran.status == 1 and "2 finished" in ran.err and "1 failed" in ran.err
    (failed,) = [record for record in records(tmp_path / "outputs") if record["status"] == "failed"]
    assert "selector 'rewriting' changed the examples" in failed["reason"]


def test_a_trainer_that_changes_examples_fails_but_may_sort_its_list(selbench, own, tmp_path):
    ran = selbench(*own, "trainer=rewriting_trainer", "selector=full")
    assert ran.status == 1 and "trainer 'rewriting_trainer' changed the examples" in ran.err
    assert selbench(*own, "trainer=writing_down", "selector=full").status == 0
    assert selbench(*own, "trainer=rewriting_trainer", "trainer.what=list", "selector=full").status == 0


def test_arrays_are_read_only():
    pool = Pool([Example("a", "i", "r"), Example("b", "i", "rr")])
    budget = Budget.of(pool, 2, "tokens", tokens=(tokens := np.array([1, 2])))
    with pytest.raises(ValueError, match="read-only"):
        budget.costs[0] = 0
    tokens[0] = 9
    assert budget.costs.tolist() == [1, 2]

    class Sizes:
        needs_scorer = False

        def compute(self, pool, context):
            return {"sizes": np.array([len(example.response) for example in pool])}

    with pytest.raises(ValueError, match="read-only"):
        Context(pool).features(Sizes())["sizes"][0] = 9
