"""The facts that a selector declares are enforced: what it has not declared it is refused, and a claim is checked."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

from selbench.api import Context, Example, Pool
from selbench.errors import PluginError
from selbench.features.lengths import ResponseLength
from selbench.plugins import discover

PLUGINS = '''
from selbench.api import Selection, selector
from selbench.features.lengths import ResponseLength

class Centred:
    """Examples around the middle of the pool: a smaller budget has its own middle."""
    def select(self, pool, budget, context):
        start = (len(pool) - budget.most) // 2
        return Selection(pool.ids[start:start + budget.limit])

@selector("undeclared", uses_scorer=False)
class Undeclared(Centred):
    """Says nothing of budgets."""

@selector("claiming", uses_scorer=False, nested=True)
class Claiming(Centred):
    """Says wrongly that it is nested."""

@selector("turning", uses_scorer=False, nested=True)
class Turning:
    """The same examples, in another order: not nested either."""
    def select(self, pool, budget, context):
        ids = pool.ids[:budget.limit]
        return Selection(ids if budget.limit > 4 else ids[::-1])

@selector("seeded", uses_scorer=False, nested=True, stochastic=True)
class Seeded:
    """Really nested, and random."""
    def select(self, pool, budget, context):
        return Selection([pool.ids[i] for i in budget.take(context.rng.permutation(len(pool)))])  # a list will do

@selector("reaching", uses_scorer=False)
class Reaching:
    """Asks for what it has not declared."""
    what: str = "rng"
    declared: bool = False
    def __post_init__(self):
        if self.declared:
            self.stochastic = self.uses_scorer = self.targeted = True
    def select(self, pool, budget, context):
        if self.what == "feature":
            context.features(ResponseLength())
        elif self.what:
            getattr(context, self.what)
        return Selection.ordered(range(len(pool)), budget)
'''


@pytest.fixture
def own(settings, tmp_path):
    (tmp_path / "facts.py").write_text(PLUGINS)
    return [f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:]]


def chosen(outputs, selector: str) -> dict[int, list[str]]:
    """Budget -> ids, of the finished runs of a selector."""
    found = {}
    for record in records(outputs):
        if record["axes"]["selector"] == selector and record["status"] == "finished":
            ids = json.loads((outputs / "runs" / record["key"] / "selection.json").read_text())["ids"]
            found[record["axes"]["budget"]] = ids
    return found


def test_without_a_declaration_each_budget_is_selected_by_itself(selbench, own, tmp_path):
    assert selbench("-m", *own, "selector=undeclared", "budget=4,10").status == 0
    found = chosen(tmp_path / "outputs", "undeclared")
    assert found[4] == [f"{i:04d}" for i in range(18, 22)]
    assert found[10] == [f"{i:04d}" for i in range(15, 25)]


@pytest.mark.parametrize("selector, common", [("claiming", "1 of 4"), ("turning", "4 of 4")])
def test_a_wrong_claim_fails_the_cell_that_would_get_anothers_selection(selbench, own, tmp_path, selector, common):
    ran = selbench("-m", *own, f"selector={selector},random", "budget=4,10")
    assert ran.status == 1 and "3 finished" in ran.err and "1 failed" in ran.err
    for record in records(tmp_path / "outputs"):
        if (record["axes"]["selector"], record["axes"]["budget"]) == (selector, 4):
            assert "is declared nested, but its selection for 4 examples is not the beginning" in record["reason"]
            assert f"{common} examples in common" in record["reason"]


def test_a_longer_ranking_of_an_earlier_command_is_checked_too(selbench, own):
    assert selbench(*own, "selector=claiming", "budget=10").status == 0
    ran = selbench(*own, "selector=claiming", "budget=4")
    assert ran.status == 1 and "is declared nested" in ran.err


@pytest.mark.parametrize("unit", ["examples", "tokens"])
def test_a_true_claim_buys_one_ranking_and_one_proof(selbench, own, tmp_path, unit):
    budgets = "budget=4,7,10" if unit == "examples" else "budget=60,90,150"
    ran = selbench("-m", *own, "selector=seeded", budgets, f"budget_unit={unit}", "seed=0,1")
    assert ran.status == 0, ran.err
    assert len(list((tmp_path / "outputs" / "store" / "selection").iterdir())) == 2
    assert len(list((tmp_path / "outputs" / "store" / "prefix").iterdir())) == 2
    assert selbench("store", "verify", "--outputs", str(tmp_path / "outputs")).status == 0
    assert selbench("store", "ls", "--outputs", str(tmp_path / "outputs")).status == 0
    assert selbench("plan", "-m", *own, "selector=seeded", "budget=4,7,10", "seed=0,1").status == 0


@pytest.mark.parametrize(
    "what, fact", [("rng", "stochastic"), ("seed", "stochastic"), ("scorer", "uses_scorer"), ("target", "targeted"),
                   ("feature", "uses_scorer")]
)  # fmt: skip
def test_what_is_not_declared_is_refused_and_what_is_declared_is_given(selbench, own, tmp_path, what, fact):
    ran = selbench(*own, "selector=reaching", f"selector.what={what}")
    assert ran.status == 1
    (record,) = records(tmp_path / "outputs")
    assert (
        f'@selector("reaching", {fact}=True)' in record["reason"]
        and "one selection would serve all" in record["reason"]
    )
    chosen = ["selector=reaching", f"selector.what={what}", "selector.declared=true"]
    ran = selbench(*own, *chosen, "target=planted")
    assert ran.status == 0, ran.err


def test_what_it_does_not_ask_for_need_not_be_declared(selbench, own):
    assert selbench(*own, "selector=reaching", "selector.what=").status == 0


def test_check_refuses_it_as_a_run_does(selbench, own):
    ran = selbench("check", "reaching", own[0])
    assert ran.status == 1 and "is not declared stochastic" in ran.out


def test_a_context_without_a_selector_refuses_nothing():
    context = Context(Pool([Example("a", "i", "r")]), seed=3)
    assert context.seed == 3 and context.rng.integers(5) >= 0
    longest = discover().get("selector", "longest").cls(unit="characters")
    with pytest.raises(PluginError, match="ResponseLength, which looks through the scorer, but it is not declared"):
        Context(Pool([Example("a", "i", "r")]), selector=longest).features(ResponseLength())
