"""The planted suite: the committed files are those that the script writes, and lm-eval reads them."""

from __future__ import annotations

import json

import pytest

from selbench.planted.items import TASKS, task_files
from selbench.planted.pool import PADDINGS
from selbench.planted.skills import TEST_ARGUMENTS, skills
from selbench.planted.tokenizer import build_tokenizer


def test_committed_files_are_what_the_script_writes():
    wanted = task_files()
    present = {str(path.relative_to(TASKS)) for path in TASKS.rglob("*") if path.is_file()}
    assert present == {*wanted, "_default.yaml"}
    for name, text in wanted.items():
        assert (TASKS / name).read_text(encoding="utf-8") == text, f"{name}: run python -m selbench.planted.items"


def test_items_are_distinct_and_have_an_id():
    rows = [json.loads(line) for name in skills() for line in (TASKS / f"items/{name}.jsonl").read_text().splitlines()]
    assert len(rows) == TEST_ARGUMENTS * len(skills())
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["question"] and row["answer"] for row in rows)


def test_yes_and_no_are_both_asked_for():
    for name in ("is_kind", "contains"):
        answers = [json.loads(line)["answer"] for line in (TASKS / f"items/{name}.jsonl").read_text().splitlines()]
        assert min(answers.count("yes"), answers.count("no")) >= TEST_ARGUMENTS / 4


def test_lm_eval_finds_every_task():
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    assert sorted(manager.all_tasks) == sorted(f"planted_{name}" for name in skills())


@pytest.fixture
def task(monkeypatch):
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(TASKS)  # data files are named relative to their YAML; the suite plugin resolves them
    return TaskManager(include_path=str(TASKS), include_defaults=False).load(["planted_reverse"])["tasks"][
        "planted_reverse"
    ]


def test_lm_eval_reads_a_task(task):
    docs = list(task.test_docs())
    assert len(docs) == TEST_ARGUMENTS
    assert task.doc_to_text(docs[0]) == docs[0]["question"]
    assert task.doc_to_target(docs[0]) == docs[0]["answer"]


def test_padding_around_an_answer_makes_no_difference(task):
    doc = next(iter(task.test_docs()))
    for padding in ("{a}", *PADDINGS):
        for answer, value in ((doc["answer"], 1.0), ("bab tal", 0.0), ("", 0.0)):
            assert task.process_results(doc, [padding.format(a=answer)]) == {"exact_match": value}, padding


def test_the_longest_padded_answer_may_be_said_in_full():
    tokenizer = build_tokenizer()
    longest = max(len(tokenizer(padding.format(a="bab bab bab bab bab"))["input_ids"]) for padding in PADDINGS)
    settings = (TASKS / "_default.yaml").read_text()
    assert f"max_gen_toks: {longest + 1}\n" in settings  # one more for the token that ends a response
