"""Lists of selectors in options, from the command line: checked, planned, recorded, run again, in other processes."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records
from helpers.toy_runs import TOYS

PLUGIN = '''
from selbench.api import Selection, selector

@selector("keeper", uses_scorer=False, nested=True)
class Keeper:
    """The first examples; it has an option `keep` itself."""
    keep: int = 0

    def select(self, pool, budget, context):
        return Selection.ordered(range(self.keep, len(pool)), budget)
'''


@pytest.fixture
def plain(settings):
    return [text for text in settings if not text.startswith("selector=")]


def labels(tmp_path) -> list[str]:
    return sorted(one["axes"]["selector"] for one in records(tmp_path / "outputs"))


def test_two_lists_are_two_arms_and_inner_selections_are_stages(selbench, plain, tmp_path):
    lists = "[{longest: {keep: 0.5}}, {random: {balanced: category}}],[{longest: {keep: 20}}, {longest: {unit: characters}}]"
    grid = ["-m", *plain, "selector=longest,chain", f"selector.chain.steps={lists}", "budget=4,8", "seed=0"]
    planned = selbench("plan", *grid)
    assert planned.status == 0, planned.err
    ran = selbench(*grid)
    assert ran.status == 0, ran.err
    names = ["chain(longest keep=0.5 → random(balanced=category))", "chain(longest keep=20 → longest(unit=characters))"]
    assert labels(tmp_path) == sorted([*names, "longest"] * 2)
    found = [one for one in records(tmp_path / "outputs") if one["axes"]["selector"] == names[1]]
    inner = {key for one in found for label, key in one["stages"].items() if label.startswith("selection/")}
    assert len(inner) == 1 and (tmp_path / "outputs" / "store" / "selection" / inner.pop()).is_dir()
    # longest, two chains; each of 8 or more, and the first step's 20: one ranking of `longest` in the plan.
    assert "selection        3" in planned.out
    again = selbench("rerun", found[0]["key"], "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0, again.out + again.err


def test_the_longest_of_the_even_ones_by_a_list(selbench, plain, tmp_path):
    (tmp_path / "even.txt").write_text("".join(f"{i:04d}\n" for i in range(0, 40, 2)))
    steps = f"[{{from_file: {{file: '{tmp_path / 'even.txt'}'}}}}, {{longest: {{unit: characters}}}}]"
    ran = selbench(*plain, "selector=chain", f"selector.steps={steps}", "budget=3")
    assert ran.status == 0, ran.err
    (chosen,) = (tmp_path / "outputs" / "runs").glob("*/selection.json")
    assert json.loads(chosen.read_text())["ids"] == ["0038", "0036", "0034"]


def test_presets_and_plugins_of_a_folder_are_parts_in_yaml_and_in_other_processes(selbench, plain, tmp_path):
    (tmp_path / "keeper.py").write_text(PLUGIN)
    folder = tmp_path / "presets" / "selector"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text("defaults: [kcenter_tfidf, _self_]\ndimension: 4\nfirst: '3'\n")
    (folder / "two.yaml").write_text(
        "defaults: [chain, _self_]\nsteps:\n- {keeper: {keep: 3}, keep: 0.5}\n- chain: {steps: [small], keep: 12}\n- longest\n"
    )
    where = ["--config-dir", str(tmp_path / "presets")]
    plain = [text for text in plain if not text.startswith("plugin_path=")]
    named = [f"plugin_path=[{TOYS},{tmp_path / 'keeper.py'}]", "budget=5"]
    grid = ["-m", *where, *plain, *named, "selector=two,union", "selector.union.of=[two,{name:small,first:'1'}]"]
    ran = selbench(*grid, "seed=0", "hydra/launcher=processes")
    assert ran.status == 0, ran.out + ran.err
    chain = "chain(keeper(keep=3) keep=0.5 → chain(kcenter_tfidf(dimension=4,first=3)) keep=12 → longest)"
    assert labels(tmp_path) == [chain, f"union({chain}, kcenter_tfidf(dimension=4,first=1))"]
    for preset in folder.iterdir():
        preset.unlink()
    for one in records(tmp_path / "outputs"):
        again = selbench("rerun", one["key"], "--outputs", str(tmp_path / "outputs"))
        assert again.status == 0, again.out + again.err


def test_the_source_of_a_part_is_in_the_key(selbench, plain, tmp_path):
    plain = [text for text in plain if not text.startswith("plugin_path=")]
    named = [*plain, f"plugin_path=[{TOYS},{tmp_path / 'keeper.py'}]", "budget=5", "selector=stratified"]
    (tmp_path / "keeper.py").write_text(PLUGIN)
    options = ["selector.of=keeper", "selector.by=category"]
    refused = selbench(*named, *options)
    assert refused.status == 2 and "has a category" in refused.err, refused.err
    union = [text for text in named if not text.startswith("selector")] + ["selector=union", "selector.of=[keeper]"]
    for text in (PLUGIN, PLUGIN.replace("range(self.keep", "range(1 + self.keep")):
        (tmp_path / "keeper.py").write_text(text)
        assert selbench(*union).status == 0
    assert len(records(tmp_path / "outputs")) == 2


@pytest.mark.parametrize("verb", [[], ["plan"]], ids=str)
@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        (["selector=chain"], "has no parts: set selector.chain.steps="),
        (["selector=chain", "selector.steps=longest"], "selector.steps"),
        (["selector=chain", "selector.steps=[{longst: {keep: 0.5}}, random]"], "Did you mean 'longest'?"),
        (["selector=chain", "selector.steps=[{longest: {unt: characters}}]"], "Did you mean"),
        (["selector=chain", "selector.steps=[{longest: {unit: words}}]"], "words"),
        (["selector=chain", "selector.steps=[{longest: {keep: half}}, random]"], "keep=half is neither a share"),
        (
            ["selector=chain", "selector.steps=[{longest: {keep: 0.5}, keep: 0.4}, random]"],
            "says keep twice: 0.4 and 0.5",
        ),
        (
            ["selector=chain", "selector.steps=[{longest: 0.5}, random]"],
            "number 1, is a selector: its name, or with options",
        ),
        (["selector=chain", "selector.steps=[longest, [random]]"], "number 2, is a selector"),
        (["selector=chain", "selector.steps=[longest, random]"], "has no keep"),
        (["selector=chain", "selector.steps=[{longest: {keep: 0.01}}, random]"], "keeps none of the 40 examples"),
        (
            ["selector=chain", "selector.steps=[{longest: {keep: 0.5}}, random]", "budget=30"],
            "fewer than the budget of 30",
        ),
        (["selector=chain", "selector.steps=[{given: {ids: x.txt, keep: 0.5}}, random]"], "cannot be read"),
        (["selector=chain", "selector.steps=[{mads: {keep: 0.5}}, base]"], "takes no budget"),
        (["selector=mix", "selector.of=[{longest: {share: 0.7}}, {random: {share: 0.7}}]"], "its shares sum to 1.4"),
        (["selector=mix", "selector.of=[{chain: {steps: [{longst: {keep: 1}}]}}]"], "Did you mean 'longest'?"),
        (["selector=stratified"], "has no parts"),
        (["selector=stratified", "selector.of=[longest,random]"], "its name, or with options"),
        (["selector=stratified", "selector.of=longest"], "no example of pool 'pool' has a source"),
    ],
)
def test_mistakes_are_one_sentence_before_any_cell(selbench, plain, tmp_path, verb, settings_, says):
    budget = [] if any(text.startswith("budget") for text in settings_) else ["budget=5"]
    ran = selbench(*verb, *plain, *settings_, *budget)
    assert ran.status == 2 and says in ran.err and "Traceback" not in ran.err, ran.err
    assert not (tmp_path / "outputs" / "runs").exists()
