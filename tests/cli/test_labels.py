"""What an arm is called: the selector's name and changed options, or what its plugin says; never two arms alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recorded import records

PLUGIN = '''
"""Selectors that name their arms themselves."""
from selbench.api import Selection, selector

@selector("named")
class Named:
    """Take the first; called as it likes."""
    first: int = 0
    quiet: bool = False
    called: str = "first {first}"

    def label(self):
        return self.called.format(first=self.first)

    def select(self, pool, budget, context):
        return Selection.ordered(range(self.first, len(pool)), budget)
'''


@pytest.fixture
def named(settings, tmp_path) -> list[str]:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "named.py").write_text(PLUGIN)
    toys = next(text for text in settings if text.startswith("plugin_path=")).partition("=")[2]
    paths = f"plugin_path=[{toys},{folder}]"
    return [paths, *(text for text in settings if not text.startswith("plugin_path=")), "budget=5", "selector=named"]


def test_a_plugin_names_its_arm(selbench, named, tmp_path):
    ran = selbench(*named, "selector.first=2")
    assert ran.status == 0, ran.err
    record = records(tmp_path / "outputs")[0]
    assert record["axes"]["selector"] == "first 2" and record["axes"]["selector_key"] == "named(first=2)"
    assert record["config"]["selector"]["name"] == "named"
    again = selbench("rerun", record["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0 and "identical" in again.out, again.err
    shown = selbench("show", record["key"], "--outputs", str(tmp_path / "outputs"))
    assert "first 2 5 toy s0" in shown.out


def test_a_sweep_whose_arms_share_a_label_does_not_start(selbench, named, tmp_path):
    grid = [*named, "selector.first=1,2", "selector.called=mine"]
    for words in (["-m", *grid], ["plan", "-m", *grid]):
        ran = selbench(*words)
        assert ran.status == 2 and "two different arms are called 'mine'" in ran.err, (words, ran.err)
        assert "named(first=1,called=mine) and named(first=2,called=mine)" in ran.err.replace("\n", " ")
    assert not Path(tmp_path / "outputs" / "runs").exists() and not Path(tmp_path / "outputs" / "sweeps").exists()


def test_a_board_refuses_two_arms_under_one_label(selbench, named, tmp_path):
    outputs = ["--outputs", str(tmp_path / "outputs")]
    for first in (1, 2):
        assert selbench(*named, f"selector.first={first}", "selector.called=mine").status == 0
    assert selbench(*named, "selector.called=other", "comparison=apart").status == 0
    for words in (["leaderboard"], ["compare", "mine", "other"]):
        ran = selbench(*words, *outputs)
        assert ran.status == 2 and "two different arms are called 'mine'" in ran.err, (words, ran.err)
    assert selbench("leaderboard", "--comparison", "apart", "--baseline", "other", *outputs).status == 0
    one, two = sorted(record["key"] for record in records(tmp_path / "outputs") if record["axes"]["selector"] == "mine")
    assert selbench("compare", one, two, *outputs).status == 0  # runs are told apart by their keys


@pytest.mark.parametrize(
    "body, said", [("1 / 0", "ZeroDivisionError"), ("None", "not None"), ("' '", "one line of text")]
)
def test_a_label_that_is_none_stops_before_any_work(selbench, named, tmp_path, body, said):
    broken = PLUGIN.replace("self.called.format(first=self.first)", body)
    (tmp_path / "plugins" / "named.py").write_text(broken)
    ran = selbench(*named)
    assert ran.status == 2 and "selector 'named': label()" in ran.err and said in ran.err, ran.err
    assert not Path(tmp_path / "outputs").exists()
