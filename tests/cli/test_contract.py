"""Whatever a plugin does, the sweep tells the truth: a cell that went wrong has failed, the others go on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

from selbench.api import ModelRef, Score
from selbench.errors import PluginError
from selbench.plugins import discover
from selbench.run.evaluate import checked_scores
from selbench.run.train import checked_model

LEAVING = '''
import os, sys
from pathlib import Path
from selbench.api import LoadedPool, ModelRef, Pool, Score, Selection, pool, selector, suite, trainer

class Odd(BaseException):
    def __str__(self):
        raise ValueError("no text")

class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

def leave(how):
    if how == "exit": sys.exit(0)
    if how == "_exit": os._exit(0)
    if how == "odd": raise Odd()
    if how == "mute": raise Mute()
    if how == "generator": raise GeneratorExit

@selector("leaving", uses_scorer=False)
class Leaving:
    """Leaves."""
    how: str = "exit"
    def select(self, pool, budget, context):
        os.chdir("/")
        sys.stdout = sys.stderr = open(os.devnull, "w")
        leave(self.how)
        return Selection.ordered(range(len(pool)), budget)

@trainer("leaving_trainer")
class LeavingTrainer:
    """Leaves."""
    def train(self, examples, model, context):
        sys.exit(0)

@suite("leaving_suite")
class LeavingSuite:
    """Leaves."""
    def evaluate(self, model, context):
        sys.exit(0)

@suite("leaving_texts")
class LeavingTexts:
    """Leaves when it is asked for its items."""
    def evaluate(self, model, context):
        return [Score("t", "m", 1.0)]
    def texts(self):
        sys.exit(0)

@pool("leaving_pool")
class LeavingPool:
    """Leaves."""
    name: str = "leaving"
    def load(self):
        sys.exit(0)

@selector("leaving_identity", uses_scorer=False)
class LeavingIdentity(Leaving):
    """Leaves before anything is done."""
    def identity(self):
        sys.exit(0)
'''


@pytest.fixture
def leaving(settings, tmp_path):
    (tmp_path / "leaving.py").write_text(LEAVING)
    return [f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:]]


@pytest.mark.parametrize("how", ["exit", "_exit", "odd", "mute", "generator"])
def test_a_selector_that_ends_the_process_fails_its_cell_and_no_other(selbench, leaving, tmp_path, how):
    alone = selbench(*leaving, "selector=leaving", f"selector.how={how}")
    assert alone.status == 1
    (record,) = records(tmp_path / "outputs")
    assert record["status"] == "failed" and "traceback.txt" in record["reason"]
    if how != "mute":
        assert "selector 'leaving' tried to end the process" in record["reason"]


def test_the_sweep_goes_on_and_its_status_says_so(selbench, leaving, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = [*leaving[:-1], "output_dir=outputs"]  # the selector also leaves the working directory
    ran = selbench("-m", *relative, "selector=leaving,random,full", "budget=4")
    assert ran.status == 1 and "2 finished" in ran.err and "1 failed" in ran.err and "rank" in ran.out
    assert sorted(r["status"] for r in records(tmp_path / "outputs")) == ["failed", "finished", "finished"]


@pytest.mark.parametrize("setting", ["trainer=leaving_trainer", "suite=[leaving_suite]", "suite=[leaving_texts]"])
def test_trainers_and_suites_that_end_the_process_fail_their_cells(selbench, leaving, tmp_path, setting):
    ran = selbench("-m", *leaving, setting, "selector=random", "seed=0,1")
    assert ran.status == 1 and "2 failed" in ran.err
    assert all("tried to end the process" in r["reason"] for r in records(tmp_path / "outputs"))


@pytest.mark.parametrize("setting", ["pool=leaving_pool", "selector=leaving_identity"])
def test_what_ends_the_process_before_the_first_cell_is_an_error(selbench, leaving, setting):
    rest = [other for other in leaving if not other.startswith("pool")] if setting.startswith("pool") else leaving
    for command in ([], ["-m"]):
        ran = selbench(*command, *rest, setting)
        assert ran.status == 2 and "tried to end the process" in ran.err and "leaving" in ran.err


def test_a_script_in_the_folder_of_plugins_is_a_broken_module(selbench, leaving, tmp_path):
    (tmp_path / "script.py").write_text("import sys\nsys.exit(0)\n")
    assert selbench(*leaving, "selector=random").status == 0
    assert "SystemExit" in selbench("plugins", leaving[0]).out


def test_check_and_select_do_not_end_well_with_a_selector_that_exits(selbench, leaving, tmp_path):
    ran = selbench("check", "leaving", leaving[0])
    assert ran.status == 1 and "checks passed" in ran.out
    ran = selbench("select", *leaving, "selector=leaving", "--out", str(tmp_path / "out.jsonl"))
    assert ran.status != 0 and "tried to end the process" in ran.err


def test_a_plugin_may_fork_a_process_that_ends(selbench, settings, tmp_path):
    (tmp_path / "forking.py").write_text(
        "import os\nfrom selbench.api import Selection, selector\n"
        "@selector('forking', uses_scorer=False)\nclass Forking:\n    '''Forks.'''\n"
        "    def select(self, pool, budget, context):\n"
        "        child = os.fork()\n        if not child:\n            os._exit(7)\n"
        "        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
        "        return Selection.ordered(range(len(pool)), budget)\n"
    )
    ran = selbench(f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:], "selector=forking")
    assert ran.status == 0, ran.err


SUITE = discover([str(TOYS)]).get("suite", "toy_suite").cls()
HALF = {"a": 0.0, "b": 1.0}


@pytest.mark.parametrize(
    "given, says",
    [
        (None, "returned None, not a list of Scores"),
        ({"accuracy": 0.5}, "returned a dict, not a list"),
        (Score("t", "m", 0.5), "returned a Score, not a list"),
        ((score for score in ()), "returned a generator"),
        ([0.5], "returned a float among its scores"),
        ([], "no headline score"),
        ([Score("t", "m", math.nan)], "t/m is nan: a score is a finite number"),
        ([Score("t", "m", math.inf)], "t/m is inf"),
        ([Score("t", "m", 0.5), Score("u", "m", -math.inf, headline=False)], "u/m is -inf"),
        ([Score("t", "m", "0.5")], "t/m is a str, not a number"),
        ([Score("t", "m", None)], "t/m is None, not a number"),
        ([Score("", "m", 0.5)], "task is '', not a name"),
        ([Score("t", "m", 0.5, headline="yes")], "has 'yes' for headline"),
        ([Score("t", "m", 0.5, items=[0.0, 1.0])], "has a list for items"),
        ([Score("t", "m", 0.5, items={"a": math.nan, "b": 1.0})], "item 'a' is nan"),
        ([Score("t", "m", 0.9, items=HALF)], "is 0.9, but the mean of its 2 items is 0.5"),
        ([Score("t", "m", 50.0, items=HALF)], "is 50, but the mean of its 2 items is 0.5"),
        ([Score("t", "m", 0.5, items=HALF, weights={"a": 1.0, "b": 3.0})], "weighted mean of its 2 items is 0.75"),
        ([Score("t", "m", 0.5, items=HALF, weights={"a": 1.0})], "weights that are not one for each item"),
        ([Score("t", "m", 0.5), Score("u", "m", 0.5, higher_is_better=False)], "mixes headline scores"),
        ([Score("t", "m", 0.5), Score("t", "m", 0.6)], "t/m more than once"),
    ],
)
def test_scores_that_say_nothing_are_refused(given, says):
    with pytest.raises(PluginError, match=f"suite 'toy_suite'.*{says}"):
        checked_scores(given, SUITE)


def test_scores_that_say_something_are_taken():
    thirds = {1: np.float32(1), 2: True, 3: 0}
    (score,) = checked_scores((Score("t", "m", np.float32(0.6667), headline=np.True_, items=thirds),), SUITE)
    assert score.items == {"1": 1.0, "2": 1.0, "3": 0.0} and type(score.value) is float
    weighted = Score("t", "m", 0.75, items=HALF, weights={"a": 1.0, "b": 3.0})
    corpus = Score("u", "bleu", 31.4, headline=False, items=HALF)  # a side score may be any figure
    assert len(checked_scores([weighted, corpus, Score("v", "m", -3.0)], SUITE)) == 3


TRAINER = discover([str(TOYS)]).get("trainer", "toy_trainer").cls()


@pytest.mark.parametrize(
    "given, says",
    [
        (None, "returned None, not a ModelRef"),
        ("/models/tuned", "returned a str, not a ModelRef"),
        (ModelRef("tuned", ""), "whose path is '', not the name"),
        (ModelRef("tuned", None), "whose path is None"),
        (ModelRef("tuned", "/nowhere/at/all"), "path is /nowhere/at/all, where there is no folder"),
        (ModelRef("tuned", "hub/name", adapter="/nowhere/at/all"), "adapter is /nowhere/at/all, where"),
        (ModelRef("tuned", "hub/name", adapter=3), "adapter is 3"),
    ],
)
def test_a_trainer_that_does_not_say_where_the_model_is_is_refused(given, says):
    with pytest.raises(PluginError, match=f"trainer 'toy_trainer'.*{says}"):
        checked_model(given, TRAINER)


def test_a_path_is_as_good_as_its_text(tmp_path):
    assert checked_model(ModelRef("tuned", tmp_path, adapter=tmp_path), TRAINER).adapter == str(tmp_path)


def test_a_suite_that_scores_nan_fails_its_cell(selbench, settings, tmp_path):
    (tmp_path / "nan.py").write_text(
        "from selbench.api import Score, suite, trainer\n"
        "@suite('nothing_known')\nclass Nan:\n    '''NaN.'''\n"
        "    def evaluate(self, model, context):\n        model.path = '/elsewhere'\n"
        "        return [Score('t', 'm', float('nan'))]\n"
        "@trainer('idle')\nclass Idle:\n    '''Forgets to return.'''\n"
        "    def train(self, examples, model, context):\n        model.path = '/elsewhere'\n"
    )
    own = [f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:]]
    ran = selbench("-m", *own, "suite=[nothing_known]", "selector=random,base")
    assert ran.status == 1 and "2 failed" in ran.err and "a score is a finite number" in ran.err
    ran = selbench(*own, "trainer=idle")
    assert ran.status == 1 and "trainer 'idle' returned None, not a ModelRef" in ran.err.replace("\n", " ")


def test_a_trainer_that_trains_nothing_is_recorded_and_told_of(selbench, settings, tmp_path):
    from helpers.tiny_models import make_model

    base = make_model(tmp_path / "base")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "copying.py").write_text(
        "import dataclasses, shutil\nfrom selbench.api import trainer\n"
        "@trainer('copying')\nclass Copying:\n    '''Copies its base.'''\n"
        "    def train(self, examples, model, context):\n"
        "        shutil.copytree(model.path, context.scratch / 'model')\n"
        "        return dataclasses.replace(model, path=str(context.scratch / 'model'))\n"
    )
    own = [setting for setting in settings[1:] if not setting.startswith(("model", "trainer"))]
    own += [f"plugin_path=[{TOYS},{tmp_path / 'plugins'}]", "model=local", f"model.path={base.path}", "model.name=tiny"]
    ran = selbench("-m", *own, "trainer=copying", "selector=random,base", "budget=4")
    assert ran.status == 0, ran.err
    assert ran.err.count("fine-tuning changed nothing: on a batch") == 1
    assert "fine-tuning changed nothing in random" in ran.out + ran.err
    found = {record["axes"]["selector"]: record for record in records(tmp_path / "outputs")}
    assert found["random"]["unchanged"] is True and found["random"]["logged"]["training/output_change"] == 0
    assert found["base"]["unchanged"] is None


KEEPING = '''
from selbench.api import Score, Selection, selector, suite

@selector("keeping", uses_scorer=False, nested=True)
class Keeping:
    """Fails once, and then goes on from what it kept."""
    fail: bool = True
    def select(self, pool, budget, context):
        (context.scratch / "selection.json").write_text("not mine")
        (context.scratch / "left").mkdir()
        (context.scratch / "left" / "behind.txt").write_text("x" * 1000)
        kept = context.checkpoint / f"half-{budget.limit}.txt"
        if self.fail and not kept.exists():
            kept.write_text("half")
            raise RuntimeError("interrupted half-way")
        context.log(resumed=kept.exists())
        return Selection.ordered(range(len(pool)), budget)

@suite("littering")
class Littering:
    """Leaves files."""
    def evaluate(self, model, context):
        (context.scratch / "scores.json").write_text("not mine")
        return [Score("t", "m", 1.0)]
'''


@pytest.mark.parametrize("budget", ["4", "4,10"])
def test_a_selector_goes_on_from_its_checkpoint_and_its_scratch_is_not_kept(selbench, settings, tmp_path, budget):
    (tmp_path / "keeping.py").write_text(KEEPING)
    own = [f"plugin_path=[{TOYS},{tmp_path / 'keeping.py'}]", *settings[1:], "suite=[littering]"]
    command = ["-m", *own, "selector=keeping", f"budget={budget}"]
    ran = selbench(*command)
    assert ran.status == 1 and "interrupted half-way" in ran.err and "traceback.txt" in ran.err
    while (ran := selbench(*command, "retry=failed")).status:
        assert "interrupted half-way" in ran.err  # the smallest budget on its own is work of its own
    store = tmp_path / "outputs" / "store"
    (stage,) = (store / "selection").iterdir()
    assert {file.name for file in stage.iterdir()} == {"selection.json", "manifest.json"}
    assert {r["logged"]["selection/resumed"] for r in records(tmp_path / "outputs")} == {1.0}
    assert not list(store.glob(".checkpoints/*"))
    assert not list(store.glob("evaluation/*/scratch"))


def test_select_says_where_a_selector_failed(selbench, settings, tmp_path):
    ran = selbench("select", *settings, "selector=crashing", "--out", str(tmp_path / "out.jsonl"))
    assert ran.status == 2 and "selector 'crashing' failed: ZeroDivisionError" in ran.err.replace("\n", " ")
    assert "toys.py" in ran.err


@pytest.mark.parametrize(
    "given, says",
    [
        ("None", "returned None, not a Selection"),
        ("Selection(None)", "whose ids are None, not a tuple"),
        ("Selection(id for id in pool.ids)", "whose ids are a generator"),
        ("Selection('0000')", "whose ids are a str"),
        ("Selection(pool.ids[:4], scores=list('abcd'))", "scores that are no numbers"),
        ("Selection(pool.ids[:4], diagnostics=None)", "None for its diagnostics"),
    ],
)
def test_a_selection_of_a_wrong_type_is_refused(selbench, settings, tmp_path, given, says):
    (tmp_path / "ill_typed.py").write_text(
        "from selbench.api import Selection, selector\n"
        "@selector('ill_typed', uses_scorer=False)\nclass Wrong:\n    '''Returns something else.'''\n"
        f"    def select(self, pool, budget, context):\n        return {given}\n"
    )
    ran = selbench(f"plugin_path=[{TOYS},{tmp_path}]", *settings[1:], "selector=ill_typed", "budget=4")
    assert ran.status == 1 and says in ran.err.replace("\n", " ")


@pytest.mark.parametrize("verb", [["-m"], [], ["plan", "-m"], ["plan"], ["select"]], ids=" ".join)
def test_a_targeted_method_without_a_target_is_refused_before_any_cell(selbench, settings, tmp_path, verb):
    arms = "selector=random,nait" if "-m" in verb else "selector=nait"
    ran = selbench(*verb, *settings, arms, "budget=5")
    assert ran.status == 2 and "selector 'nait' selects towards target examples, and the run has none" in ran.err, (
        ran.err
    )
    assert not list((tmp_path / "outputs").glob("runs/*"))
