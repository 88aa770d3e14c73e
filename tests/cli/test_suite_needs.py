"""Suites whose tasks need what is not there are refused before any cell, by runs, grids and plans, with what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.benchmark_data import write_code_eval
from selbench_plugins.suites import _task_needs

VERBS = pytest.mark.parametrize("verb", [["-m"], ["plan", "-m"], ["plan"], []], ids=" ".join)
RUNS = pytest.mark.parametrize("verb", [["-m"], []], ids=" ".join)


@pytest.fixture
def without_modules(monkeypatch):
    """Neither langdetect nor immutabledict, whether or not they are installed; no hub is asked."""
    monkeypatch.setattr(_task_needs, "absent_modules", lambda names: sorted({"langdetect", "immutabledict"} & {*names}))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def base(settings) -> list[str]:
    return [*(text for text in settings if not text.startswith("suite=")), "selector=random", "budget=5"]


def no_cells(tmp_path: Path) -> bool:
    return not [*(tmp_path / "outputs").glob("runs/*"), *(tmp_path / "outputs").glob("store/selection/*")]


@RUNS
@pytest.mark.parametrize("suites", ["ifeval", "toy_suite,ifeval", "gsm8k,ifeval", "common"])
def test_a_module_that_one_suite_lacks_is_named_with_its_extra(selbench, base, tmp_path, without_modules, verb, suites):
    refused = selbench(*verb, *base, f"suite=[{suites}]")
    assert refused.status == 2 and "Traceback" not in refused.err and no_cells(tmp_path)
    assert "task 'ifeval' needs the Python modules immutabledict and langdetect" in refused.err
    assert 'pip install "selbench[ifeval]"' in refused.err
    assert "hub" not in refused.err.partition("error:")[2]


def test_a_plan_goes_on_and_says_what_is_missing(selbench, base, without_modules):
    planned = selbench("plan", "-m", *base, "suite=[toy_suite,ifeval]")
    assert planned.status == 0, planned.err
    needed = planned.out.partition("Needed before a run, and not on this machine:")[2]
    assert "suite ifeval: task 'ifeval' needs the Python modules immutabledict and langdetect" in needed


def test_the_suites_that_lack_nothing_are_planned(selbench, base, without_modules):
    planned = selbench("plan", *base, "suite=[toy_suite,gsm8k,bbh,tydiqa,gsm8k_cot]")
    assert planned.status == 0, planned.err


@VERBS
def test_written_code_is_not_run_without_permission(selbench, base, tmp_path, monkeypatch, verb):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    refused = selbench(*verb, *base, "suite=[toy_suite,humaneval]")
    assert refused.status == 2 and "Traceback" not in refused.err and no_cells(tmp_path)
    assert "task 'humaneval' executes code that the model has written: on this machine" in refused.err
    assert "unsafe_code=true" in refused.err


def test_a_plan_with_permission_runs_nothing(selbench, base, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    plan = ["plan", *base, "suite=humaneval", "suite.humaneval.unsafe_code=true"]
    lacking = selbench(*plan)
    assert lacking.status == 0 and "the metric 'code_eval' of the evaluate library" in lacking.out
    write_code_eval(tmp_path / "modules")
    (code,) = (tmp_path / "modules").rglob("code_eval.py")
    code.write_text("raise SystemExit('it was run')")
    planned = selbench(*plan)
    assert planned.status == 0 and "it was run" not in planned.out + planned.err


PLUGIN = '''
from pathlib import Path

from selbench.api import suite
from selbench_plugins.suites.lm_eval import LmEval


@suite("theirs")
class Theirs(LmEval):
    """A suite of another's, of the task files beside it."""

    include_path: str = str(Path(__file__).parent / "tasks")
'''
TASK = """
task: theirs
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
process_docs: !function theirs_code.process
"""


@RUNS
def test_a_suite_of_anothers_that_needs_a_module(selbench, base, tmp_path, verb):
    (tmp_path / "plugin" / "tasks").mkdir(parents=True)
    (tmp_path / "plugin" / "theirs.py").write_text(PLUGIN)
    (tmp_path / "plugin" / "tasks" / "theirs.yaml").write_text(TASK)
    (tmp_path / "plugin" / "tasks" / "items.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    (tmp_path / "plugin" / "tasks" / "theirs_code.py").write_text(
        "import absent_one\n\n\ndef process(docs):\n    return docs\n"
    )
    (toys,) = (text for text in base if text.startswith("plugin_path="))
    rest = [text for text in base if text != toys]
    both = f"plugin_path=[{toys.partition('=')[2]},{tmp_path / 'plugin'}]"
    refused = selbench(*verb, *rest, both, "suite=theirs")
    assert refused.status == 2 and "Traceback" not in refused.err and no_cells(tmp_path)
    assert "task 'theirs' needs the Python module absent_one, which is not installed" in refused.err
