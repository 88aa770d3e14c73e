"""Stand-ins for the benchmarks' data sets on the hub: a few rows each, with the columns and types of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from selbench_plugins.suites import _hub_data, _tasks

Rows = list[dict[str, Any]]
TEXT, TEXTS = Value("string"), List(Value("string"))
# TyDi QA's languages, by which its ids begin.
LANGUAGES = ("arabic", "bengali", "english", "finnish", "indonesian", "korean", "russian", "swahili", "telugu")


def _rows(count: int, row: Callable[[str, int], dict[str, Any]]) -> dict[str, Rows]:
    """The rows of three splits; every text of a row holds the mark of its split and number, as "train-3"."""
    splits = ("train", "validation", "test")
    return {split: [row(f"{split}-{i}.", i) for i in range(count)] for split in splits}


def _arc(mark: str, i: int) -> dict[str, Any]:
    choices = {"text": ["ice", "fire", "sand", "air"], "label": ["A", "B", "C", "D"]}
    return {"id": mark, "question": f"Which is cold, {mark}?", "choices": choices, "answerKey": "ABCD"[i % 4]}


def _hellaswag(mark: str, i: int) -> dict[str, Any]:
    said = {"ctx_a": f"A man walks {mark}", "ctx_b": "he", "ctx": f"A man walks {mark} he", "activity_label": "Walking"}
    more = {"source_id": mark, "split": "val", "split_type": "indomain", "label": str(i % 4)}
    return {"ind": i, **said, "endings": ["falls.", "sings.", "stops.", "runs."], **more}


def _truthfulqa(mark: str, i: int) -> dict[str, Any]:
    targets = {"choices": ["Yes.", "No.", "Both."], "labels": [1, 0, 0]}
    return {"question": f"Is it so, {mark}?", "mc1_targets": targets, "mc2_targets": {**targets, "labels": [1, 1, 0]}}


def _mmlu(mark: str, i: int) -> dict[str, Any]:
    return {"question": f"How many are {mark}?", "subject": "", "choices": ["1", "2", "3", "4"], "answer": i % 4}


def _gsm8k(mark: str, i: int) -> dict[str, Any]:
    return {"question": f"What is {i} and 1 of {mark}?", "answer": f"It is <<{i}+1={i + 1}>>{i + 1}.\n#### {i + 1}"}


def _ifeval(mark: str, i: int) -> dict[str, Any]:
    return {
        "key": i,
        "prompt": f"Write of {mark} without a comma.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{"num_words": None, "relation": None}],
    }


def _bbh(mark: str, i: int) -> dict[str, Any]:
    return {"input": f"not ( True ) and ( True ) is, {mark}", "target": "False"}


def _humaneval(mark: str, i: int) -> dict[str, Any]:
    return {
        "task_id": f"HumanEval/{i}",
        "prompt": f'def one() -> int:\n    """Gives 1 of {mark}"""\n',
        "canonical_solution": "    return 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
        "entry_point": "one",
    }


def _tydiqa(mark: str, i: int) -> dict[str, Any]:
    about = {"id": f"{LANGUAGES[i % 9]}-{mark}", "title": "Cities", "context": f"Oslo is old, says {mark}"}
    return {**about, "question": f"What is old, {mark}?", "answers": {"text": ["Oslo"], "answer_start": [0]}}


TARGETS = {"choices": TEXTS, "labels": List(Value("int32"))}
# Name on the hub -> columns and types, what makes a row, rows per split, and splits of other names.
STAND_INS: dict[str, tuple[dict[str, Any], Callable[[str, int], dict[str, Any]], int, dict[str, str]]] = {
    "allenai/ai2_arc": (
        {"id": TEXT, "question": TEXT, "choices": {"text": TEXTS, "label": TEXTS}, "answerKey": TEXT},
        _arc, 30, {},
    ),
    "Rowan/hellaswag": (
        {
            **dict.fromkeys(("activity_label", "ctx_a", "ctx_b", "ctx", "source_id", "split", "split_type", "label"), TEXT),
            "ind": Value("int32"), "endings": TEXTS,
        },
        _hellaswag, 12, {},
    ),
    "truthfulqa/truthful_qa": ({"question": TEXT, "mc1_targets": TARGETS, "mc2_targets": TARGETS}, _truthfulqa, 3, {}),
    "cais/mmlu": (
        {"question": TEXT, "subject": TEXT, "choices": TEXTS, "answer": ClassLabel(names=["A", "B", "C", "D"])},
        _mmlu, 5, {"train": "dev"},
    ),
    "openai/gsm8k": ({"question": TEXT, "answer": TEXT}, _gsm8k, 12, {}),
    "google/IFEval": (
        {
            "key": Value("int64"), "prompt": TEXT, "instruction_id_list": TEXTS,
            "kwargs": List({"num_words": Value("int64"), "relation": TEXT}),
        },
        _ifeval, 3, {},
    ),
    "SaylorTwift/bbh": ({"input": TEXT, "target": TEXT}, _bbh, 3, {}),
    "openai/openai_humaneval": (
        dict.fromkeys(("task_id", "prompt", "canonical_solution", "test", "entry_point"), TEXT), _humaneval, 3, {},
    ),
    "google-research-datasets/tydiqa": (
        {
            **dict.fromkeys(("id", "title", "context", "question"), TEXT),
            "answers": {"text": TEXTS, "answer_start": List(Value("int32"))},
        },
        _tydiqa, 27, {},
    ),
}  # fmt: skip


def stand_in(name: str) -> DatasetDict:
    """The stand-in for a data set of the hub; KeyError for one that has none."""
    columns, row, count, renamed = STAND_INS[name]
    rows = _rows(count, row)
    return DatasetDict(
        {renamed.get(split, split): Dataset.from_list(part, Features(columns)) for split, part in rows.items()}
    )


@contextmanager
def stand_ins_for_the_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """Inside, lm-eval's tasks read the stand-ins; gives the data sets and configurations that were asked for."""
    asked: list[tuple[str, str | None]] = []

    def load(_: Any, path: str, name: str | None = None, **options: Any) -> DatasetDict:
        asked.append((path, name))
        return stand_in(path)

    monkeypatch.setattr(_hub_data, "load_dataset_at_commit", load)
    monkeypatch.setattr(_hub_data, "commit_of", lambda *_: "0" * 40)
    _tasks._library_tasks.cache_clear()
    yield asked
    _tasks._library_tasks.cache_clear()


# A stand-in for the code of the metric that executes written code, where the evaluate library keeps downloaded code.
CODE_EVAL = """
import os

import datasets
import evaluate


class CodeEval(evaluate.Metric):
    def _info(self):
        columns = {"predictions": datasets.List(datasets.Value("string")), "references": datasets.Value("string")}
        return evaluate.MetricInfo(description="", citation="", features=datasets.Features(columns))

    def _compute(self, predictions, references, k=(1,)):
        if os.getenv("HF_ALLOW_CODE_EVAL", 0) != "1":
            raise ValueError("not allowed")
        passed = [self._passes(f"{written[0]}\\n{test}") for written, test in zip(predictions, references)]
        return {"pass@1": sum(passed) / len(passed)}, {}

    def _passes(self, program):
        try:
            exec(program, {})
        except Exception:
            return False
        return True
"""


def write_code_eval(modules: Path) -> None:
    """Puts the stand-in for `code_eval` into a folder of downloaded code, as HF_MODULES_CACHE names it."""
    folder = modules / "evaluate_modules" / "metrics" / "evaluate-metric--code_eval" / ("a" * 64)
    folder.mkdir(parents=True)
    for part in (folder, *folder.parents[:3]):
        (part / "__init__.py").touch()
    (folder / "code_eval.py").write_text(CODE_EVAL)
