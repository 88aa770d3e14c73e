"""Every task of every suite that ships is built, prompted and scored, with stand-ins for its data and for the model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers.benchmark_data import stand_ins_for_the_hub, write_code_eval
from selbench_plugins.suites._code_needs import absent_modules
from selbench_plugins.suites.lm_eval import LmEval

from selbench.api import Context, ModelRef, UserError
from selbench.config.runs import compose_run
from selbench.config.schemas import register
from selbench.plugins import Registry, discover
from selbench.presets import choices


class Expected(NamedTuple):
    """What a suite of lm-eval tasks is made of."""

    tasks: int  # tasks without the groups that hold them
    headlines: int  # scores that the board takes
    metric: str  # of the headline
    shots: int = 0  # worked examples in the prompt
    opening: str = ""  # what each of them, and the item itself, begins with in the prompt


SUITES = {
    "arc_challenge": Expected(1, 1, "acc_norm", 25, "Question: "),
    "arc_easy_local": Expected(1, 1, "acc_norm", 0, "Question: "),
    "bbh": Expected(27, 1, "exact_match,get-answer", 3, "Q: "),
    "gsm8k": Expected(1, 1, "exact_match,flexible-extract", 8, "Question: "),
    "gsm8k_cot": Expected(1, 1, "exact_match,flexible-extract", 8, "Q: "),
    "hellaswag": Expected(1, 1, "acc_norm", 10, "Walking: "),
    "humaneval": Expected(1, 1, "pass@1,create_test", 0, "def one() "),
    "ifeval": Expected(1, 1, "prompt_level_strict_acc", 0, "Write of "),
    "mmlu": Expected(57, 1, "acc", 5, "\nAnswer:"),
    "planted": Expected(26, 26, "exact_match"),
    "truthfulqa": Expected(1, 1, "acc", 0, "Q: Is it so"),
    "tydiqa": Expected(9, 9, "f1", 1, "What is old, "),
}
OTHERS = {"common", "response_loss_stories"}  # with a test each below


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = discover()
    register(found)
    return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    with stand_ins_for_the_hub(monkeypatch) as asked:
        yield asked


@pytest.fixture
def metric_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the metric `code_eval`, as if it had been downloaded, and no hub."""
    import evaluate.config
    import huggingface_hub.constants

    write_code_eval(tmp_path / "modules")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def suite_of(name: str, registry: Registry, data: Path, *settings: str) -> Any:
    """The suite of a preset, its local data in `data`."""
    (suite,) = compose_run([f"suite=[{name}]", f"data_root={data}", *settings], registry).suites.values()
    return suite


def model_that_says(answer: str, asked: list[str]) -> Any:
    """An lm-eval model that writes `answer`, prefers short choices, and notes what it is asked."""
    from lm_eval.api.model import LM

    class Said(LM):
        cut: dict[str, set[int]] = {}  # noqa: RUF012

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            asked.extend(request.args[0] for request in requests)
            return [(-float(len(request.args[1])), False) for request in requests]

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError

        def generate_until(self, requests: list[Any]) -> list[str]:
            asked.extend(request.args[0] for request in requests)
            return [answer] * len(requests)

        def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> str:
            return "".join(turn["content"] for turn in turns)

        tokenizer_name = "said"

        def chat_template(self, *_: Any) -> str:
            return "said"

    return Said()


def write_local_data(folder: Path) -> None:
    """The files that our own task files read, with their columns."""
    (folder / "eval").mkdir()
    rows = [{"question": f"Which is cold, {i}?", "choices": ["ice", "fire"], "answer": i % 2} for i in range(3)]
    with gzip.open(folder / "eval/arc_easy_test.jsonl.gz", "wt") as file:
        file.write("".join(f"{json.dumps(row)}\n" for row in rows))


def require_for_ifeval(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for nltk's punkt_tab; skips without the modules of selbench[ifeval]."""
    if absent := absent_modules(("immutabledict", "langdetect", "nltk")):
        pytest.skip(f"the extra 'ifeval' of selbench is not installed: no {', '.join(absent)}")
    import nltk

    (folder / "nltk/tokenizers/punkt_tab/english").mkdir(parents=True)
    monkeypatch.setattr(nltk.data, "path", [str(folder / "nltk")])


@pytest.mark.parametrize("name", sorted(SUITES))
def test_a_suite_is_built_prompted_and_scored(name, registry, hub, metric_code, tmp_path, monkeypatch):
    expected, asked = SUITES[name], []
    write_local_data(tmp_path)
    if name == "ifeval":
        require_for_ifeval(tmp_path, monkeypatch)
    allowed = ["suite.humaneval.unsafe_code=true"] if name == "humaneval" else []
    suite = suite_of(name, registry, tmp_path, *allowed)
    suite.check()
    texts = suite.texts()
    assert len(texts) == expected.tasks and all(part and all(part.values()) for part in texts.values())

    suite.limit = 2
    answer = "    return 1\n" if name == "humaneval" else "Oslo. So the answer is 1."
    monkeypatch.setattr(LmEval, "_harness_model", lambda *_: nullcontext(model_that_says(answer, asked)))
    scores = suite.evaluate(ModelRef(name="said", path="/none"), Context())
    heads = [score for score in scores if score.headline]
    assert len(heads) == expected.headlines
    assert {score.metric for score in heads} == {expected.metric} and all(score.higher_is_better for score in heads)
    assert sum(len(score.items) for score in heads) == expected.tasks * 2
    assert all(prompt.count(expected.opening) == expected.shots + 1 for prompt in asked if expected.opening)
    assert all(
        "test-" in prompt or "validation-" in prompt or name in ("planted", "arc_easy_local", "ifeval")
        for prompt in asked
    )
    if expected.shots and name not in ("bbh", "gsm8k_cot"):  # whose worked examples are lm-eval's
        marks = [prompt.count("train-") for prompt in asked]
        assert all(count >= expected.shots for count in marks), "worked examples are no test items"
        assert not any("test-" in prompt.rpartition("train-")[0] for prompt in asked)
    for task in (score.task for score in heads if not score.items):
        raise AssertionError(f"the headline of {task} is not the mean of its items")


def test_every_suite_is_listed_above(registry):
    presets = set(choices("suite", registry)) - {plugin.name for plugin in registry.of_kind("suite")}
    assert presets - {"planted"} | {"planted"} == {*SUITES, *OTHERS}


def test_what_is_right_and_what_is_wrong_score_so(registry, hub, metric_code, tmp_path, monkeypatch):
    """The number of each kind of answer: by extraction, by overlap of words, by running it."""
    for name, answer, value in [
        ("gsm8k_cot", "So 0 + 1 is 1. The answer is 1.", 0.5),  # of the answers 1 and 2
        ("bbh", "So the answer is False.", 1.0),
        ("bbh", "So the answer is True.", 0.0),
        ("tydiqa", " Oslo", 1.0),
        ("tydiqa", " Oslo Bergen", 2 / 3),
        ("humaneval", "    return 1\n", 1.0),
        ("humaneval", "    return 2\n", 0.0),
    ]:
        suite = suite_of(name, registry, tmp_path)
        suite.limit, suite.unsafe_code = 2, True
        monkeypatch.setattr(LmEval, "_harness_model", lambda *_, said=answer: nullcontext(model_that_says(said, [])))
        scores = [score for score in suite.evaluate(ModelRef(name="said", path="/none"), Context()) if score.headline]
        assert [score.value for score in scores] == pytest.approx([value] * len(scores)), name


def test_written_code_is_run_where_it_is_allowed_and_nowhere_else(registry, hub, metric_code, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")  # of the user's own: it allows this suite nothing
    suite = suite_of("humaneval", registry, tmp_path)
    for call in (suite.check, lambda: suite.evaluate(ModelRef(name="said", path="/none"), Context())):
        with pytest.raises(UserError, match=r"'humaneval' executes code that the model has written.*unsafe_code=true"):
            call()
    import os

    assert os.environ["HF_ALLOW_CODE_EVAL"] == "1"


def test_common_is_its_members(registry, tmp_path):
    found = compose_run(["suite=[common]"], registry).suites
    assert set(found) == {"mmlu", "arc_challenge", "hellaswag", "truthfulqa", "gsm8k", "ifeval"}
    for name, suite in found.items():
        assert suite == suite_of(name, registry, tmp_path)


def test_held_out_responses_are_read(registry, tmp_path):
    (tmp_path / "instruction").mkdir()
    row = json.dumps({"id": "a", "instruction": "say it", "output": "it is said"}) + "\n"
    for name in ("lima_1k", "gpteacher_roleplay", "self_instruct_seed_tasks"):
        with gzip.open(tmp_path / "instruction" / f"{name}.jsonl.gz", "wt") as file:
            file.write(row)
    suite = suite_of("response_loss_stories", registry, tmp_path)
    suite.check()
    assert {name: set(part) for name, part in suite.texts().items()} == {
        name: {"a"} for name in ("lima", "gpteacher", "self_instruct")
    }
