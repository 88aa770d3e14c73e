"""Every mistake a user can make: one clear message with the valid choices, a non-zero exit, nothing recorded as done."""

from __future__ import annotations

import json

import pytest
from helpers.recorded import records


def _refused(ran, tmp_path, *words: str) -> None:
    assert ran.status != 0
    assert "Traceback" not in ran.err + ran.out
    message = " ".join(ran.err.split())
    for word in words:
        assert word in message, message
    assert all(record["status"] != "finished" for record in records(tmp_path / "outputs"))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("selector=rando", ("unknown selector 'rando'", "Did you mean 'random'?", "kcenter", "mads")),
        ("selector.balancd=source", ("selector.balancd", "selector 'random'", "Did you mean 'selector.balanced'?")),
        ("selector.balanced=sauce", ("'balanced' of 'random'", "unknown value 'sauce'", "source")),
        ("trainer.crash=perhaps", ("trainer.crash", "perhaps")),
        ("budgt=0.1", ("budgt", "Did you mean 'budget'?")),
        ("budget=a lot", ("budget", "a lot")),
        ("budget=0", ("budget=0", "valid 1 to 40")),
        ("budget=0.0", ("budget=0.0", "a share is above 0 and at most 1.0")),
        ("budget=1.5", ("budget=1.5", "a share is above 0 and at most 1.0", "whole number")),
        ("budget=0.001", ("budget=0.001", "selects 0 examples", "valid 1 to 40")),
        ("budget=41", ("budget=41", "has 40", "valid 1 to 40")),
        ("budget_unit=words", ("unknown budget_unit 'words'", "examples, tokens")),
        ("model=lama", ("unknown model 'lama'", "planted-1m")),
        ("model.path=/no/such/folder", ("/no/such/folder", "does not exist", "model.path")),
        ("pool.path=/no/such/file.jsonl", ("/no/such/file.jsonl", "pool.path")),
        ("pool=planetd", ("unknown pool 'planetd'", "Did you mean 'planted'?")),
        ("suite=[]", ("no suite", "suite=")),
        ("suite=[toy_sweet]", ("unknown suite 'toy_sweet'", "toy_suite")),
        ("seed=x", ("seed", "x")),
        ("seed=0,1", ("several values", "add -m")),
        ("experiment=demo", ("is a grid", "add -m")),
        ("plugin_path=/no/such/folder", ("plugin_path", "/no/such/folder")),
    ],
)
def test_a_wrong_setting(selbench, settings, tmp_path, setting, words):
    key = setting.split("=")[0]
    kept = [other for other in settings if other.split("=")[0] != key]
    _refused(selbench(*kept, setting), tmp_path, *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too_few", ("'too_few'", "too little", "3 examples", "budget is 4")),
        ("too_many", ("'too_many'", "too much", "5 examples", "budget is 4")),
        ("twice", ("'twice'", "3 duplicate ids")),
        ("foreign", ("'foreign'", "not in pool", "'nowhere'")),
        ("crashing", ("ZeroDivisionError", "traceback.txt")),
    ],
)
def test_a_selector_that_breaks_its_contract(selbench, settings, tmp_path, name, words):
    _refused(selbench(*settings, f"selector={name}"), tmp_path, *words)


def test_a_trainer_that_crashes_is_told_in_one_line(selbench, settings, tmp_path):
    ran = selbench(*settings, "trainer.crash=true")
    _refused(ran, tmp_path, "RuntimeError: the trainer fell over")
    (record,) = records(tmp_path / "outputs")
    assert record["status"] == "failed" and "fell over" in record["reason"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ("no rows", "nothing to select from")),
        (
            [{"instruction": "Say a", "output": ""}, {"instruction": "Say b", "output": "b"}],
            ("response", "line 1", "drop_invalid"),
        ),
        ([{"id": 1, "instruction": "a", "output": "a"}, {"id": 1, "instruction": "b", "output": "b"}], ("id '1'",)),
    ],
)
def test_a_pool_that_cannot_be_used(selbench, settings, tmp_path, lines, words):
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _refused(selbench(*settings, f"pool.path={path}"), tmp_path, *words)


def test_a_task_that_lm_eval_does_not_know(selbench, settings, tmp_path):
    kept = [other for other in settings if not other.startswith("suite=")]
    ran = selbench(*kept, "suite=[lm_eval]", "suite.lm_eval.tasks=[arc_eazy]", "selector=base")
    _refused(ran, tmp_path, "arc_eazy", "arc_easy")


def test_a_mistake_in_one_cell_stops_the_grid_before_it_starts(selbench, settings, tmp_path):
    ran = selbench("-m", *settings, "selector=random,rando")
    _refused(ran, tmp_path, "unknown selector 'rando'")
    assert records(tmp_path / "outputs") == []


def test_an_output_folder_that_cannot_be_written(selbench, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    kept = [other for other in settings if not other.startswith("output_dir=")]
    _refused(selbench(*kept, f"output_dir={tmp_path / 'file'}"), tmp_path, "cannot write", "file")


@pytest.mark.parametrize("verb", ["select", "inspect", "plan"])
def test_a_word_that_is_no_setting(selbench, settings, tmp_path, verb):
    ran = selbench(verb, *settings, "random")
    _refused(ran, tmp_path, "'random' is not a setting: write key=value")
    assert "hydra.cc" not in ran.err


@pytest.mark.parametrize("verb", ["select", "inspect"])
def test_several_values_where_a_verb_takes_one_run(selbench, settings, tmp_path, verb):
    ran = selbench(verb, *settings, "selector=random,longest")
    _refused(ran, tmp_path, "selector=random,longest names several values where one is needed", "selector=[a,b]")
    assert "--multirun" not in ran.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--items", "many", "many is not a whole number"),
        ("--price", "dear", "dear is not a number"),
        ("--price", "-1", "-1 is not above 0"),
    ],
)
def test_a_number_that_is_none(selbench, capfd, option, value, words):
    with pytest.raises(SystemExit) as stopped:
        selbench("plan", option, value)
    assert stopped.value.code == 2 and words in capfd.readouterr().err


def test_an_unknown_verb(selbench, tmp_path):
    _refused(selbench("lederboard"), tmp_path, "Did you mean 'leaderboard'?")


@pytest.mark.parametrize("verb", [[], ["plan"], ["-m"]], ids=str)
def test_a_task_without_items_or_with_a_wrong_column_stops_before_any_cell(selbench, settings, tmp_path, verb):
    (tmp_path / "tasks").mkdir()
    task = tmp_path / "tasks" / "quiz.yaml"
    task.write_text(
        "task: quiz\ndataset_path: json\ntest_split: test\ndataset_kwargs: {data_files: {test: items.jsonl}}\n"
        "doc_to_text: '{{qestion}}'\ndoc_to_target: '{{answer}}'\n"
    )
    kept = [other for other in settings if not other.startswith("suite=")]
    arguments = [*verb, *kept, "suite=lm_eval", f"suite.lm_eval.include_path={task.parent}"]
    for rows, words in (("", "has no items"), ('{"question": "a", "answer": "b"}\n', "Did you mean 'question'?")):
        (tmp_path / "tasks" / "items.jsonl").write_text(rows)
        _refused(selbench(*arguments), tmp_path, "task 'quiz'", words)
        assert records(tmp_path / "outputs") == []


def test_a_model_folder_without_a_tokenizer_is_refused_before_the_first_cell(selbench, tmp_path, toy_pool):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    data = ["pool=file", f"pool.path={toy_pool}", f"output_dir={tmp_path / 'outputs'}"]
    for model in (["model=local", f"model.path={folder}"], ["selector=mads", "scorer=local", f"scorer.path={folder}"]):
        ran = selbench("-m", "seed=0,1", *model, *data)
        assert ran.status == 2 and "there is no tokenizer in it" in ran.err and "[1/" not in ran.err
    assert not (tmp_path / "outputs" / "runs").exists()
