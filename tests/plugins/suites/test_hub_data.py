"""The data sets of the hub that lm-eval tasks read: in the suite's key, and what is read is what is in the key."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.hub_server import HubServer, gone
from selbench_plugins.suites import _hub_data, _task_index, _tasks
from selbench_plugins.suites.lm_eval import LmEval

from selbench.api import UserError
from selbench.data import commits
from selbench.run.hub_commits import HubNotes, unknown_commits
from selbench.store.keys import digest, plugin_identity

TASK = """
task: {name}
dataset_path: {data}
dataset_kwargs: {kwargs}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_target: 0
doc_to_choice: ["{{{{a}}}}", "none"]
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


def quiz(count: int) -> dict[str, bytes]:
    lines = [json.dumps({"q": f"What is {number}?", "a": str(number)}) for number in range(count)]
    return {"test.jsonl": "".join(line + "\n" for line in lines).encode()}


@pytest.fixture
def tasks(tmp_path: Path) -> Callable[..., str]:
    """Writes task files, name -> data set or (data set, its revision), and gives their folder."""

    def write(**data: str | tuple[str, str]) -> str:
        folder = tmp_path / "tasks"
        folder.mkdir(exist_ok=True)
        for name, of in data.items():
            path, kwargs = (of, "{}") if isinstance(of, str) else (of[0], f"{{revision: {of[1]}}}")
            (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=path, kwargs=kwargs))
        return str(folder)

    return write


def key(suite: LmEval) -> str:
    return digest(plugin_identity(suite))


def items(suite: LmEval) -> dict[str, int]:
    return {name: len(texts) for name, texts in suite.texts().items()}


def test_a_new_commit_is_another_suite_and_its_items_are_the_new_ones(
    server: HubServer, tasks: Callable[..., str]
) -> None:
    suite = LmEval(include_path=tasks(quiz="lab/quiz"))
    first = server.push("lab/quiz", quiz(3), "dataset")
    before = key(suite)
    assert suite.identity()["hub"] == [["lab/quiz", first]]
    server.push("lab/quiz", quiz(5), "dataset")
    assert items(suite) == {"quiz": 3}, "what is evaluated is what is in the key, whatever is pushed meanwhile"
    assert key(suite) == before
    commits.forget_commits()
    assert key(suite) != before and items(suite) == {"quiz": 5}


def test_several_tasks_and_one_with_a_revision_of_its_own(server: HubServer, tasks: Callable[..., str]) -> None:
    old = server.push("lab/quiz", quiz(3), "dataset", tag="v1")
    new = server.push("lab/quiz", quiz(5), "dataset")
    other = server.push("lab/other", quiz(2), "dataset")
    folder = tasks(now="lab/quiz", then=("lab/quiz", "v1"), other="lab/other")
    notes = HubNotes()
    suite = LmEval(include_path=folder)
    assert notes.of("suite.lm_eval", suite.identity)["hub"] == sorted(
        [["lab/quiz", new], ["lab/quiz", old], ["lab/other", other]], key=str
    )
    assert {(one.name, one.revision, one.commit) for one in notes.commits} == {
        ("lab/quiz", None, new),
        ("lab/quiz", "v1", old),
        ("lab/other", None, other),
    }
    assert items(suite) == {"now": 5, "then": 3, "other": 2}
    assert LmEval(["other"], folder).identity()["hub"] == [["lab/other", other]]


def test_tasks_of_local_files_ask_nothing(server: HubServer, tasks: Callable[..., str], tmp_path: Path) -> None:
    folder = Path(tasks(quiz="json"))
    (folder / "test.jsonl").write_bytes(quiz(3)["test.jsonl"])
    text = (folder / "quiz.yaml").read_text()
    (folder / "quiz.yaml").write_text(
        text.replace("dataset_kwargs: {}", "dataset_kwargs: {data_files: {test: test.jsonl}}")
    )
    suite = LmEval(include_path=str(folder))
    assert "hub" not in suite.identity() and items(suite) == {"quiz": 3} and server.asked == []


def test_without_the_hub_the_cache_is_evaluated_or_a_sentence_says_why_not(
    server: HubServer, tasks: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.push("lab/quiz", quiz(3), "dataset")
    suite = LmEval(include_path=tasks(quiz="lab/quiz"))
    online = key(suite)
    assert items(suite) == {"quiz": 3}
    gone(monkeypatch)
    assert key(suite) == online and items(suite) == {"quiz": 3}
    other, notes = LmEval(include_path=tasks(quiz="lab/never")), HubNotes()
    notes.of("suite.lm_eval", other.identity)
    (said,) = unknown_commits(notes.commits)
    assert said.startswith("suite.lm_eval: the commit of 'lab/never' (dataset, revision main) is not known")
    with pytest.raises(UserError, match="quiz"):
        other.texts()


def test_a_task_of_lm_eval_is_read_from_the_cache_and_the_one_beside_it_that_cannot_be_made_is_named(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(json.dumps({"question": f"What is {i}?", "answer": f"#### {i}"}) + "\n" for i in range(3)).encode()
    splits = "[{split: train, path: a.jsonl}, {split: test, path: b.jsonl}]"
    card = f"---\nconfigs:\n- config_name: main\n  data_files: {splits}\n---\n"
    server.push("openai/gsm8k", {"README.md": card.encode(), "a.jsonl": rows, "b.jsonl": rows}, "dataset")
    assert items(LmEval(["gsm8k"])) == {"gsm8k": 3}
    gone(monkeypatch)
    _tasks._library_tasks.cache_clear()  # as another process
    assert items(LmEval(["gsm8k"])) == {"gsm8k": 3}
    monkeypatch.setitem(sys.modules, "langdetect", None)  # as where it is not installed
    for name in [name for name in sys.modules if name.startswith("lm_eval.tasks.ifeval")]:
        monkeypatch.delitem(sys.modules, name)  # another test may have built the task
    _tasks._library_tasks.cache_clear()
    with pytest.raises(UserError, match=r"ifeval.* needs the Python module") as said:
        items(LmEval(["ifeval", "gsm8k"]))
    assert "reachable" not in str(said.value)
    with pytest.raises(UserError, match=r"task hellaswag: its data set 'Rowan/hellaswag' could not be .*not reachable"):
        items(LmEval(["hellaswag"]))
    _tasks._library_tasks.cache_clear()


@pytest.mark.parametrize(
    "name, data",
    [
        ("gsm8k", {"openai/gsm8k"}),
        ("arc_easy", {"allenai/ai2_arc"}),
        ("mmlu", {"cais/mmlu"}),  # a group of groups of tags
        ("no_such_task", set()),
    ],
)
def test_the_data_of_tasks_groups_and_tags_of_lm_eval_itself(name: str, data: set[str]) -> None:
    assert {path for path, _ in _hub_data.library_data((name,))} == data


@pytest.mark.slow
def test_every_task_of_lm_eval_is_found_where_it_finds_it() -> None:
    from lm_eval.tasks import TaskManager

    index, own = TaskManager().task_index, _task_index._index()
    assert set(index) == {*own.files, *own.tags}
    assert all(own.files[name] == entry.yaml_path for name, entry in index.items() if entry.yaml_path)
    tags = {name: entry.tags for name, entry in index.items() if entry.yaml_path is None}
    assert {name: set(tasks) for name, tasks in own.tags.items()} == tags
    assert {name for name, entry in index.items() if entry.kind.name == "GROUP"} == own.groups


@pytest.mark.parametrize(
    "changes, data",
    [
        ("dataset_path: lab/other", ("lab/other", None)),
        ("dataset_kwargs: {revision: v2}", ("lab/quiz", "v2")),
        ("dataset_name: hard", ("lab/quiz", None)),
    ],
)
def test_what_a_group_changes_in_its_tasks_counts(tmp_path: Path, changes: str, data: tuple[str, str | None]) -> None:
    (tmp_path / "quiz.yaml").write_text("task: quiz\ndataset_path: lab/quiz\n")
    index = _task_index._Index({"quiz": tmp_path / "quiz.yaml"})
    for group in (f"task: [quiz]\n{changes}\n", f"task: [{{task: quiz, {changes}}}]\n"):
        (tmp_path / "group.yaml").write_text(f"group: all\n{group}")
        index.files["all"], index.groups = tmp_path / "group.yaml", {"all"}
        (config,) = _task_index._configs("all", index, {}, ())
        assert _hub_data.data_of(config) == data


@pytest.mark.parametrize(
    "name, hub",
    [
        ("lab/quiz", True),
        ("super_glue", True),
        ("json", False),
        ("/data/quiz", False),
        ("./quiz", False),
        ("a/b/c", False),
        ("https://host/x", False),
        ("${data_root}/x", False),
        ("", False),
        (None, False),
    ],
)
def test_which_paths_are_names_of_the_hub(name: str | None, hub: bool) -> None:
    assert _hub_data.is_hub_name(name) is hub
