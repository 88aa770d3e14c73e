"""Mistakes in task files of the user's are found before any work, in words that say what to mend; lm-eval is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from selbench_plugins.suites._tasks import Changes, load_tasks
from selbench_plugins.suites.lm_eval import LmEval
from selbench_plugins.suites.response_loss import ResponseLoss

from selbench.errors import UserError

TASK = """
include: _base.yaml
task: quiz
dataset_kwargs: {{data_files: {{{split}: {file}}}}}
doc_to_text: "{text}"
doc_to_target: {target}
"""
BASE = "dataset_path: json\ntest_split: test\noutput_type: generate_until\ngeneration_kwargs: {until: ['\\n']}\n"


def _folder(
    tmp_path: Path, rows: list, split: str = "test", text: str = "{{question}}", target: str = "answer", extra: str = ""
) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "_base.yaml").write_text(BASE)
    described = TASK.format(split=split, file="items.jsonl", text=text, target=target) + extra
    (tmp_path / "tasks" / "quiz.yaml").write_text(described)
    (tmp_path / "tasks" / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "tasks"


ROWS = [{"question": "1+1?", "answer": "2"}]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": []}, "task 'quiz' .* has no items: .*items.jsonl has no rows"),
        (
            {"text": "{{qestion}}"},
            "doc_to_text names the column 'qestion'.*Did you mean 'question'.*Columns: answer, question",
        ),
        ({"text": "{% if hint %}{{question}}{% endif %}"}, "column 'hint'"),
        ({"target": "answr"}, "doc_to_target names the column 'answr'.*Did you mean 'answer'"),
        ({"target": "'{{answers[0]}}'"}, "doc_to_target names the column 'answers'"),
        ({"split": "tset"}, "its split 'test' is not among its data_files: tset"),
        ({"extra": "doc_to_choice: ['{{a}}', '{{answer}}']\n"}, "doc_to_choice names the column 'a'"),
    ],
    ids=str,
)
def test_a_mistake_is_named_before_and_while_the_task_is_loaded(tmp_path, changed, message):
    folder = str(_folder(tmp_path, **{"rows": ROWS, **changed}))
    with pytest.raises(UserError, match=message):
        LmEval(include_path=folder).check()
    with pytest.raises(UserError, match=message):
        load_tasks([], folder, "", Changes())


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"target": "'yes'"},
        {"target": "0"},
        {"text": "{% for i in range(2) %}{{question}}{% endfor %}"},
        {"text": "{{hint | default('')}}{{question}}"},
        {"text": "{% set q = question %}{{q}}"},
        {"text": "{{made}}", "extra": "process_docs: !function utils.make\n"},
    ],
    ids=str,
)
def test_what_may_be_meant_is_let_through(tmp_path, changed):
    folder = _folder(tmp_path, **{"rows": ROWS, **changed})
    (folder / "utils.py").write_text("def make(docs):\n    return docs\n")
    LmEval(include_path=str(folder)).check()


def test_only_the_tasks_that_are_named_are_checked(tmp_path):
    folder = str(_folder(tmp_path, []))
    LmEval(include_path=folder, tasks=["arc_easy"]).check()
    with pytest.raises(UserError, match="no items"):
        LmEval(include_path=folder, tasks=["quiz"]).check()


def test_a_function_that_fails_is_named_with_its_task(tmp_path):
    folder = _folder(tmp_path, ROWS, text="{{made}}", extra="process_docs: !function utils.make\n")
    (folder / "utils.py").write_text("def make(docs):\n    return docs.map(lambda row: {'made': row['missing']})\n")
    with pytest.raises(UserError, match=r"task 'quiz' .*KeyError: 'missing'"):
        load_tasks([], str(folder), "", Changes())


def test_the_check_loads_no_lm_eval(tmp_path):
    folder = _folder(tmp_path, ROWS)
    code = f"""
import sys
from selbench_plugins.suites.lm_eval import LmEval
LmEval(include_path={str(folder)!r}).check()
assert not {{"torch", "lm_eval", "datasets"}} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_sets_of_response_loss_are_named_as_they_are_set(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(UserError, match=r"set 'mine': there are no rows"):
        ResponseLoss(sets={"mine": str(empty)}).check()
    with pytest.raises(UserError, match=r"set by suite\.response_loss\.sets\.mine") as said:
        ResponseLoss(sets={"mine": str(tmp_path / "pool.path.jsonl")}).check()
    assert "pool.path.jsonl does not exist" in str(said.value)
    with pytest.raises(UserError, match=r"suite\.response_loss\.sets\.NAME="):
        ResponseLoss().check()
