"""What a task needs besides its data is found in its files before any work, and named with what to do about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from selbench_plugins.suites import _task_index, _task_needs, _tasks
from selbench_plugins.suites._code_needs import Needs, needs_of_code
from selbench_plugins.suites.lm_eval import LmEval

from selbench.errors import UserError

TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: items.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
generation_kwargs: {{until: ["\\n"]}}
process_docs: !function {module}.process
"""
PROCESS = "\n\ndef process(docs):\n    return docs\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "items.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    return tmp_path


def write_task(folder: Path, name: str, code: str) -> None:
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, module=f"{name}_code"))
    (folder / f"{name}_code.py").write_text(code + PROCESS)


def refusal(suite: LmEval) -> str:
    with pytest.raises(UserError) as said:
        suite.check()
    return str(said.value)


# ---------------------------------------------------------------------------------------------------- what code needs


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        (
            "import absent_one, absent_two.part as p\nfrom absent_three.x import y",
            {"absent_one", "absent_two", "absent_three"},
        ),
        ("def later():\n    import absent_one", set()),
        ("if len('x'):\n    import absent_one", set()),
        ("try:\n    import absent_one\nexcept ImportError:\n    absent_one = None", set()),
        ("try:\n    import absent_one\nexcept (ValueError, ImportError) as error:\n    raise error", {"absent_one"}),
        ("try:\n    import absent_one\nexcept ValueError:\n    pass", {"absent_one"}),
        ("try:\n    import absent_one\nexcept:\n    import absent_two", set()),
        ("def setup():\n    import absent_one\n\nsetup()", {"absent_one"}),
        ("import sys\nsys.path.append('/elsewhere')\nimport absent_one", set()),
        ("class Task:\n    import absent_one", {"absent_one"}),
        ("this is no Python", set()),
        ("", set()),
    ],
)
def test_the_modules_that_an_import_of_the_file_needs(tmp_path, code, needs):
    (tmp_path / "code.py").write_text(code)
    assert {name for name in needs_of_code([tmp_path / "code.py"]).modules if name.startswith("absent")} == needs


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("import nltk\nnltk.download('punkt')", Needs(resources=frozenset({"punkt"}))),
        (
            "import nltk\ndef setup():\n    try:\n        nltk.data.find('tokenizers/punkt')\n    except LookupError:\n"
            "        nltk.download('punkt')\nsetup()",
            Needs(resources=frozenset({"punkt", "tokenizers/punkt"})),
        ),
        ("from nltk import download as get\nget('words')", Needs(resources=frozenset({"words"}))),
        ("import nltk\ndef later():\n    nltk.download('punkt')", Needs()),
        ("import evaluate as e\nm = e.load('rouge')", Needs(metrics=frozenset({"rouge"}))),
        (
            "import evaluate\ntry:\n    m = evaluate.load('rouge')\nexcept Exception as e:\n    raise e",
            Needs(metrics=frozenset({"rouge"})),
        ),
        ("import evaluate\ntry:\n    m = evaluate.load('rouge')\nexcept Exception:\n    m = None", Needs()),
        ("import pickle\nm = pickle.load('rouge')", Needs()),
    ],
)  # fmt: skip
def test_the_resources_and_metrics_that_an_import_of_the_file_needs(tmp_path, code, needs):
    (tmp_path / "code.py").write_text(code)
    found = needs_of_code([tmp_path / "code.py"])
    assert (found.resources, found.metrics) == (needs.resources, needs.metrics)


def test_files_that_import_each_other_are_followed_once(tmp_path):
    (tmp_path / "a.py").write_text("from . import b\nfrom .b import x")
    (tmp_path / "b.py").write_text("from .a import y\nimport absent_one")
    assert needs_of_code([tmp_path / "a.py"]).modules == {"absent_one"}


def test_a_changed_file_is_read_again(folder):
    write_task(folder, "quiz", "import absent_one")
    assert "absent_one" in refusal(LmEval(include_path=str(folder)))
    write_task(folder, "quiz", "import json")
    LmEval(include_path=str(folder)).check()


# -------------------------------------------------------------------------------------------------------- tasks of one's own


def test_a_module_of_a_task_of_the_users_is_named_before_and_while_it_is_loaded(folder):
    write_task(folder, "quiz", "import absent_one")
    suite = LmEval(include_path=str(folder))
    said = refusal(suite)
    assert said.startswith("task 'quiz' needs the Python module absent_one, which is not installed: ")
    with pytest.raises(
        UserError, match=r"needs the Python module absent_one, which is not installed: .*pip install absent_one"
    ):
        suite.texts()


def test_only_tasks_that_are_named_count_and_each_is_named_with_its_own(folder):
    write_task(folder, "good", "import json")
    write_task(folder, "one", "import absent_one")
    write_task(folder, "two", "import absent_two, absent_three")
    LmEval(["good"], str(folder)).check()
    said = refusal(LmEval(include_path=str(folder)))
    assert "task 'one' needs the Python module absent_one, " in said and "'good'" not in said
    assert "Task 'two' needs the Python modules absent_three and absent_two, which are not installed" in said


def test_a_module_named_in_an_included_part_counts(folder):
    write_task(folder, "quiz", "import absent_one")
    whole = (folder / "quiz.yaml").read_text()
    (folder / "parts").mkdir()
    (folder / "parts" / "_part.yaml").write_text("process_docs: !function far.process\n")
    (folder / "parts" / "far.py").write_text("import absent_two" + PROCESS)
    (folder / "quiz.yaml").write_text(
        "include: parts/_part.yaml  # ours\n# process_docs: !function quiz_code.process\n"
        + whole.rpartition("process_docs")[0]
    )
    said = refusal(LmEval(include_path=str(folder)))
    assert "absent_two" in said and "absent_one" not in said


def test_parts_may_be_listed(folder):
    write_task(folder, "quiz", "import absent_one")
    whole = (folder / "quiz.yaml").read_text()
    (folder / "_part.yaml").write_text("process_docs: !function quiz_code.process\n")
    (folder / "quiz.yaml").write_text("include:\n  - _part.yaml\n" + whole.rpartition("process_docs")[0])
    assert "absent_one" in refusal(LmEval(include_path=str(folder)))


def test_a_function_of_a_package_that_is_not_installed(folder):
    (folder / "quiz.yaml").write_text(TASK.format(name="quiz", module="absent_one.part"))
    said = refusal(LmEval(include_path=str(folder)))
    assert (
        f"the Python module absent_one.part, which is neither a file beside its task file ({folder}/absent_one" in said
    )
    (folder / "quiz.yaml").write_text(TASK.format(name="quiz", module="json.decoder"))
    LmEval(include_path=str(folder)).check()


def test_a_failure_of_another_kind_is_told_as_it_is(folder):
    write_task(folder, "quiz", "raise RuntimeError('no luck')")
    LmEval(include_path=str(folder)).check()
    with pytest.raises(UserError, match="could not be read: no luck"):
        LmEval(include_path=str(folder)).texts()


def test_a_task_that_runs_written_code_needs_permission_whoever_wrote_it(folder):
    write_task(folder, "quiz", "import json")
    with (folder / "quiz.yaml").open("a") as file:
        file.write("unsafe_code: true\n")
    assert "task 'quiz' executes code that the model has written" in refusal(LmEval(include_path=str(folder)))
    LmEval(include_path=str(folder), unsafe_code=True).check()


# -------------------------------------------------------------------------------------------------- nltk and evaluate


def test_a_resource_of_nltk_is_looked_for_where_nltk_looks(folder, monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(folder / "nltk")])
    write_task(folder, "quiz", "import nltk\nnltk.download('some_words')")
    suite = LmEval(include_path=str(folder))
    said = refusal(suite)
    assert "task 'quiz' needs the nltk resource 'some_words'" in said and str(folder / "nltk") in said
    assert "python -m nltk.downloader some_words" in said and "NLTK_DATA" in said
    (folder / "nltk" / "corpora" / "some_words").mkdir(parents=True)
    suite.check()


def test_a_resource_that_is_missing_while_a_task_is_loaded_is_named(folder, monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(folder / "nltk")])
    write_task(folder, "quiz", "import nltk\nplace = 'corpora/' + 'some_words'\nnltk.data.find(place)")
    suite = LmEval(include_path=str(folder))
    suite.check()  # what the code computes is not read
    with pytest.raises(UserError, match=r"needs the nltk resource 'some_words', .*nltk.downloader some_words"):
        suite.texts()


def test_the_code_of_a_metric_is_cached_or_can_be_had(folder, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(folder / "modules"))
    monkeypatch.setattr(_task_needs, "reachable", lambda: False)
    write_task(folder, "quiz", "import evaluate\nrouge = evaluate.load('some_score')")
    suite = LmEval(include_path=str(folder))
    assert "the metric 'some_score' of the evaluate library" in refusal(suite)
    monkeypatch.setattr(_task_needs, "reachable", lambda: True)
    suite.check()
    monkeypatch.setattr(_task_needs, "reachable", lambda: False)
    code = folder / "modules/evaluate_modules/metrics/evaluate-metric--some_score" / ("a" * 64)
    code.mkdir(parents=True)
    (code / "some_score.py").touch()
    suite.check()


# -------------------------------------------------------------------------------------------------- lm-eval's collection


@pytest.fixture
def no_module(monkeypatch):
    """Neither langdetect nor immutabledict, whether or not they are installed."""
    monkeypatch.setattr(_task_needs, "absent_modules", lambda names: sorted({"langdetect", "immutabledict"} & {*names}))


def test_ifeval_names_the_extra_and_the_resource(no_module, monkeypatch, tmp_path):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    said = refusal(LmEval(["ifeval"]))
    assert (
        'the Python modules immutabledict and langdetect, which are not installed: pip install "selbench[ifeval]".'
        in said
    )
    assert "It also needs the nltk resource 'punkt_tab'" in said and "python -m nltk.downloader punkt_tab" in said
    (tmp_path / "tokenizers" / "punkt_tab").mkdir(parents=True)
    assert "nltk" not in refusal(LmEval(["gsm8k", "ifeval"])).partition(']".')[2]
    LmEval(["gsm8k", "mmlu", "bbh_cot_fewshot", "tydiqa_goldp", "gsm8k_cot"]).check()


def test_a_member_of_a_group_that_cannot_be_had_is_named(no_module, monkeypatch, tmp_path):
    nltk = pytest.importorskip("nltk")
    (tmp_path / "tokenizers" / "punkt_tab").mkdir(parents=True)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    (tmp_path / "group.yaml").write_text("group: both\ntask: [gsm8k, leaderboard_ifeval]\n")
    index = _task_index._index()
    monkeypatch.setitem(index.files, "both", tmp_path / "group.yaml")
    monkeypatch.setattr(index, "groups", {*index.groups, "both"})
    said = refusal(LmEval(["both"]))
    assert said.startswith("task 'leaderboard_ifeval' needs the Python modules immutabledict and langdetect")
    _task_index.library_tasks.cache_clear()


def test_an_extra_of_lm_eval_is_named_for_a_module_that_only_it_brings():
    assert 'pip install "lm-eval[math]"' in _task_needs.modules_text(["math_verify"])
    assert 'pip install "selbench[ifeval]"' in _task_needs.modules_text(["langdetect", "nltk"])
    assert "pip install absent_one langdetect" in _task_needs.modules_text(["langdetect", "absent_one"])


def test_names_are_checked_without_lm_eval():
    assert "unknown lm-eval task 'helaswag'. Did you mean hellaswag" in refusal(LmEval(["helaswag"]))
    assert "no tasks: name at least one" in refusal(LmEval())
    code = """
import sys
from selbench.errors import UserError
from selbench_plugins.suites.lm_eval import LmEval
for names in (["gsm8k", "mmlu"], ["humaneval"], ["helaswag"]):
    try:
        LmEval(names).check()
    except UserError:
        pass
assert not {"torch", "lm_eval", "datasets", "evaluate", "nltk"} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_trouble_with_a_data_set_and_with_code_are_told_apart(monkeypatch):
    """Both were "the hub is not reachable" where it was not."""

    class Manager:
        task_index = {"some": None}  # noqa: RUF012
        error: Exception = ModuleNotFoundError("No module named 'absent_one'", name="absent_one")

        def load(self, names):
            raise self.error

    def loaded() -> str:
        _tasks._library_tasks.cache_clear()
        with pytest.raises(UserError) as said:
            _tasks._library_tasks(("some",), (), _tasks.Changes(), "")
        return str(said.value)

    monkeypatch.setattr(_tasks, "_task_manager", Manager)
    assert "task some needs the Python module absent_one, which is not installed" in loaded()
    Manager.error = _tasks.UnreadData("owner/data")
    assert "its data set 'owner/data' could not be loaded from the Hugging Face hub" in loaded()
    Manager.error = KeyError("answer")
    assert "task some cannot be made: KeyError: 'answer'" in loaded()
