"""An option in a grid goes to the parts that are named, or to all that have it; each cell composes by itself."""

from __future__ import annotations

import pytest

from selbench.config.runs import composed, composed_run
from selbench.errors import UserError


def _cells(*overrides: str, config_dir=None) -> list[tuple[str, ...]]:
    """The overrides of each cell; each cell was composed by itself, once more here."""
    cells = composed([*overrides], multirun=True, config_dir=config_dir)
    for cell in cells:
        (alone,) = composed(cell.overrides)
        assert alone.run.resolved == cell.run.resolved
    return [tuple(text for text in cell.overrides if not text.startswith("hydra.")) for cell in cells]


@pytest.mark.parametrize("key", ["selector.encoder", "selector.kcenter.encoder"])
def test_an_option_reaches_only_the_selector_that_has_it(key):
    assert _cells("selector=random,kcenter", f"{key}=/folder") == [
        ("selector=random",),
        ("selector=kcenter", "selector.encoder=/folder"),
    ]


def test_a_sweep_over_an_option_multiplies_only_the_cells_of_its_selector():
    assert _cells("selector=random,kcenter", "selector.kcenter.encoder=/a,/b", "seed=0,1") == [
        ("selector=random", "seed=0"),
        ("selector=random", "seed=1"),
        ("selector=kcenter", "selector.encoder=/a", "seed=0"),
        ("selector=kcenter", "selector.encoder=/a", "seed=1"),
        ("selector=kcenter", "selector.encoder=/b", "seed=0"),
        ("selector=kcenter", "selector.encoder=/b", "seed=1"),
    ]


def test_the_bare_form_goes_to_all_that_have_the_option_and_the_exact_one_wins():
    cells = _cells("selector=mads,nait,random", "selector.layers=last", "selector.nait.layers=middle")
    assert cells == [
        ("selector=mads", "selector.layers=last"),
        ("selector=nait", "selector.layers=middle"),
        ("selector=random",),
    ]
    assert cells == _cells("selector=mads,nait,random", "selector.nait.layers=middle", "selector.layers=last")


def test_options_may_stand_before_the_choice_and_be_those_of_the_default():
    assert _cells("selector.encoder=/a", "selector=random,kcenter")[1] == ("selector.encoder=/a", "selector=kcenter")
    assert composed_run(["selector.random.balanced=source"]).selector.balanced == "source"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["selector=random,kcenter", "selector.encodr=x"],
            "selectors 'kcenter', 'random'.*Did you mean 'selector.encoder'",
        ),
        (
            ["selector=random,kcenter", "selector.kcenter.encodr=x"],
            "'kcenter'.*Did you mean 'selector.kcenter.encoder'",
        ),
        (["selector=random,kcenter", "selector.random.encoder=x"], "option of selector 'random'"),
        (
            ["selector=random,kcenter", "selector.nait.layers=all"],
            "no selector here is called 'nait'; .*kcenter, random",
        ),
        (["selector=random,base", "selector.encoder=x"], "option of selectors 'base', 'random'"),
        (["selector=base", "selector.encoder=x"], "option of selector 'base'"),
        (["target=planted,file", "target.file.pth=x"], "Did you mean 'target.file.path'"),
        (["target.path=x"], "there is no target"),
        (["suite=planted,mmlu", "suite.planted.limt=1"], "Did you mean 'suite.planted.limit'"),
        (["scorer.path=x"], "scorer=local"),
    ],
)
def test_an_option_that_none_has_is_an_error(overrides, message):
    with pytest.raises(UserError, match=message):
        composed(overrides, multirun=True)


@pytest.mark.parametrize("key", ["target.file.path", "target.path", "+target.path"])
def test_targets(key, tmp_path):
    cells = _cells("selector=nait", "target=planted,file", f"{key}=a.jsonl")
    assert cells[0] == ("selector=nait", "target=planted") and cells[1][2] == "target.file.path=a.jsonl"


def test_suites():
    assert _cells("suite=planted,mmlu,[planted,mmlu]", "suite.planted.limit=5") == [
        ("suite=planted", "suite.planted.limit=5"),
        ("suite=mmlu",),
        ("suite=[planted,mmlu]", "suite.planted.limit=5"),
    ]
    assert _cells("suite=[planted,mmlu]", "suite.limit=5") == [
        ("suite=[planted,mmlu]", "suite.planted.limit=5", "suite.mmlu.limit=5")
    ]


def test_a_suite_is_also_called_by_the_preset_that_made_it():
    cells = _cells("suite=response_loss_stories,common", "suite.response_loss_stories.limit=7", "suite.common.limit=5")
    assert cells[0] == ("suite=response_loss_stories", "suite.response_loss.limit=7")
    assert len(cells[1]) == 7 and all(text.endswith(".limit=5") for text in cells[1][1:])


def test_entries_of_a_table_need_no_plus():
    for sign in ("", "+", "++"):
        run = composed_run(["suite=response_loss", f"{sign}suite.response_loss.sets.mine=a.jsonl"])
        assert run.suites["response_loss"].sets == {"mine": "a.jsonl"}
        assert composed_run(["pool=file", "pool.path=a.jsonl", f"{sign}pool.columns.id=null"]).pool.columns == {
            "id": None
        }


def test_trainers_pools_models_and_scorers():
    assert _cells("trainer=planted,lora", "trainer.lora.lora_rank=4,8")[0] == ("trainer=planted",)
    assert len(_cells("trainer=planted,lora", "trainer.lora.lora_rank=4,8")) == 3
    assert _cells("pool=planted,file", "pool.path=a.jsonl,b.jsonl") == [
        ("pool=planted",),
        ("pool=file", "pool.path=a.jsonl"),
        ("pool=file", "pool.path=b.jsonl"),
    ]
    cells = _cells("model=planted-1m,llama-3.2-1b", "model.llama-3.2-1b.path=/folder")
    assert cells == [("model=planted-1m",), ("model=llama-3.2-1b", "model.path=/folder")]
    cells = _cells("scorer=null,local", "scorer.local.path=/folder")
    assert cells == [("scorer=[]",), ("scorer=local", "scorer.path=/folder")]


def test_presets_of_a_selector(tmp_path):
    (tmp_path / "selector").mkdir()
    (tmp_path / "selector" / "far.yaml").write_text("defaults: [kcenter, _self_]\nencoder: /folder\n")
    cells = composed(["selector=kcenter,far", "selector.far.dimension=8"], multirun=True, config_dir=tmp_path)
    assert [(cell.run.selector.encoder, cell.run.selector.dimension) for cell in cells] == [
        ("sentence-transformers/all-MiniLM-L6-v2", 256),
        ("/folder", 8),
    ]
    # The plugin's name stands for its presets where no choice has that name.
    cells = composed(["selector=random,far", "selector.kcenter.dimension=9"], multirun=True, config_dir=tmp_path)
    assert cells[1].run.selector.dimension == 9 and cells[1].run.selector.plugin_name == "kcenter"
    cells = composed(["selector=kcenter,far", "selector.kcenter.dimension=9"], multirun=True, config_dir=tmp_path)
    assert [cell.run.selector.dimension for cell in cells] == [9, 256]


def test_presets_that_ship():
    run = composed_run(["selector=kcenter_tfidf"])
    assert run.selector.plugin_name == "kcenter" and run.selector.encoder == "tfidf"
    assert composed_run(["selector=kcenter_hidden"]).selector.space == "hidden"


@pytest.mark.parametrize(
    ("axis", "cells"),
    [
        ("seed=0,0", 1),
        ("budget=0.1,0.10", 1),
        ("selector=random,random", 1),
        ("seed=0,1,0", 2),
        ("suite=[planted],planted", 1),
    ],
)
def test_equal_cells_are_one(axis, cells):
    assert len(composed([axis], multirun=True)) == cells


def test_axes_of_an_experiment_may_be_options_of_one_selector(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "ours.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {selector: 'random,kcenter', selector.kcenter.dimension: '8,16'}}}\n"
    )
    assert len(_cells("experiment=ours", config_dir=tmp_path)) == 3
    assert len(_cells("experiment=ours", "selector.kcenter.dimension=4", config_dir=tmp_path)) == 2
    assert len(_cells("experiment=ours", "selector=random", config_dir=tmp_path)) == 1
    with pytest.raises(UserError, match="add -m"):
        composed(["experiment=ours"], config_dir=tmp_path)


def test_several_values_without_m():
    with pytest.raises(UserError, match="names several values: add -m"):
        composed(["selector=kcenter", "selector.kcenter.encoder=a,b"])
    with pytest.raises(UserError, match="one run is needed"):
        composed_run(["selector=kcenter", "selector.encoder=a,b"])


def test_no_scorer_of_its_own_is_null():
    assert composed_run(["scorer=null"]).scorer.name == "planted-1m"
    names = [cell.run.scorer.name for cell in composed(["scorer=null,planted-4m"], multirun=True)]
    assert names == ["planted-1m", "planted-4m"]


def test_a_cell_of_an_experiment_is_one_run():
    (cell,) = composed(["experiment=demo", "selector=mads", "budget=0.1", "seed=1"])
    assert cell.run.comparison == "demo" and cell.run.seed == 1


@pytest.mark.parametrize(
    ("typed", "share"), [("10%", 0.1), ("12.5%", 0.125), ("100%", 1.0), ("'10 %'", 0.1), ("7%", 0.07)]
)
def test_a_budget_may_be_typed_as_the_board_prints_it(typed, share):
    assert composed_run([f"budget={typed}"]).budget == share
    assert [cell.run.budget for cell in composed([f"budget={typed},0.3"], multirun=True)] == [share, 0.3]
