"""The lm_eval suite: task files of our own, items, headlines, and one-sentence errors for whatever is missing."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from selbench_plugins.suites import _tasks
from selbench_plugins.suites._scores import scores_of_results
from selbench_plugins.suites.lm_eval import LmEval

from selbench.api import Context, ModelRef, Score, UserError
from selbench.models import load_model, load_tokenizer

ROWS = [
    {
        "id": f"q{i}",
        "question": f"Which of these is number {i}?",
        "choices": ["one", "two or so", "three"],
        "answer": i % 3,
    }
    for i in range(12)
]
BASE = """
dataset_path: json
test_split: test
metric_list:
  - {metric: METRIC, aggregation: mean, higher_is_better: true}
"""
CHOICE = """
include: _choice.yaml
task: pick
dataset_kwargs: {data_files: {test: items/pick.jsonl}}
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: answer
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
GENERATE = """
include: _generate.yaml
task: copy
dataset_kwargs: {data_files: {test: "${data_root}/copy.jsonl"}}
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """A random Llama of two layers over single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    config = LlamaConfig(vocab_size=len(alphabet), max_position_embeddings=512, initializer_range=0.2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return ModelRef(name="tiny", path=str(folder), max_length=512)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks over local files, one beside its task file and one under data_root."""
    tasks = tmp_path / "tasks"
    (tasks / "items").mkdir(parents=True)
    (tasks / "_choice.yaml").write_text(BASE.replace("METRIC", "acc"))
    (tasks / "_generate.yaml").write_text(BASE.replace("METRIC", "exact_match"))
    (tasks / "pick.yaml").write_text(CHOICE)
    (tasks / "copy.yaml").write_text(GENERATE)
    write(tasks / "items" / "pick.jsonl", ROWS)
    write(tmp_path / "copy.jsonl", [{"question": f"say {i % 2}", "answer": str(i)} for i in range(4)])
    return tasks


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def headline(found: list[Score], task: str) -> Score:
    (score,) = [score for score in found if score.task == task and score.headline]
    return score


def by_hand(ref: ModelRef) -> dict[str, float]:
    """Accuracy by log-likelihood per character, one choice at a time."""
    model, tokenizer = load_model(ref, device="cpu"), load_tokenizer(ref)
    right = {}
    for row in ROWS:
        totals = []
        for choice in row["choices"]:
            prompt = tokenizer.encode(f"Question: {row['question']}\nAnswer:")
            whole = torch.tensor([prompt + tokenizer.encode(f" {choice}")])
            logs = model(whole).logits[0].log_softmax(-1)
            spots = range(len(prompt), whole.shape[1])
            totals.append(sum(logs[spot - 1, whole[0, spot]].item() for spot in spots) / len(choice))
        right[row["id"]] = float(np.argmax(totals) == row["answer"])
    return right


def test_agrees_with_a_hand_computation_item_by_item(
    tiny: ModelRef, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = by_hand(tiny)
    assert 0 < sum(expected.values()) < len(ROWS)
    capfd.readouterr()
    found = LmEval(tasks=["pick"], include_path=str(folder)).evaluate(tiny, Context())
    assert capfd.readouterr() == ("", "")
    score = headline(found, "pick")
    assert (score.metric, score.higher_is_better, score.items) == ("acc_norm", True, expected)
    assert score.value == pytest.approx(np.mean(list(score.items.values())))
    side = [score for score in found if not score.headline]
    assert [(score.metric, score.items) for score in side] == [("acc", {})]


def test_without_names_all_tasks_of_the_folder_are_run(tiny: ModelRef, folder: Path) -> None:
    suite = LmEval(include_path=str(folder), data_root=str(folder.parent), metric="")
    found = suite.evaluate(tiny, Context())
    assert {score.task for score in found} == {"pick", "copy"}
    copied = headline(found, "copy")
    assert copied.metric == "exact_match"
    assert len(copied.items) == 4  # rows without an id, named by their content
    assert found == suite.evaluate(tiny, Context(seed=9))


def test_limit_and_metric(tiny: ModelRef, folder: Path) -> None:
    found = LmEval(tasks=["pick"], include_path=str(folder), limit=5, metric="acc").evaluate(tiny, Context())
    assert headline(found, "pick").metric == "acc"
    assert list(headline(found, "pick").items) == [f"q{i}" for i in range(5)]
    with pytest.raises(UserError, match=r"task 'pick': unknown metric 'acc_nrom'\. Did you mean 'acc_norm'"):
        LmEval(tasks=["pick"], include_path=str(folder), metric="acc_nrom").evaluate(tiny, Context())


def test_a_changed_file_is_read_again(tiny: ModelRef, folder: Path) -> None:
    suite = LmEval(tasks=["pick"], include_path=str(folder))
    assert len(headline(suite.evaluate(tiny, Context()), "pick").items) == 12
    write(folder / "items" / "pick.jsonl", ROWS[:7])
    assert len(headline(suite.evaluate(tiny, Context()), "pick").items) == 7
    (folder / "pick.yaml").write_text(CHOICE.replace("{metric: acc_norm", "{metric: acc_bytes"))
    assert {score.metric for score in suite.evaluate(tiny, Context())} == {"acc", "acc_bytes"}


def test_chat_template_and_fewshot_reach_the_prompt(tiny: ModelRef, folder: Path) -> None:
    plain, chat, shots = (
        _tasks_prompt(LmEval(include_path=str(folder), tasks=["pick"], **options), tiny)
        for options in ({}, {"apply_chat_template": True}, {"num_fewshot": 2})
    )
    assert plain == "Question: Which of these is number 0?\nAnswer:"
    assert chat.endswith("### Response:\n") and plain in chat
    assert shots.count("Question:") == 3 and shots.endswith(plain)


def _tasks_prompt(suite: LmEval, ref: ModelRef) -> str:
    suite.evaluate(ref, Context())
    changes = _tasks.Changes(suite.num_fewshot, suite.max_gen_toks)
    return _tasks.load_tasks(["pick"], suite.include_path, "", changes)["tasks"]["pick"].instances[0].args[0]


def test_unknown_task_names_near_ones_and_not_thousands(
    tiny: ModelRef, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["arc_easy", *(f"other_{i}" for i in range(5000))]
    library = SimpleNamespace(task_index=dict.fromkeys(names), all_tasks=names)
    monkeypatch.setattr(_tasks, "_task_manager", lambda: library)
    with pytest.raises(
        UserError, match=r"'arc_eazy'\. Did you mean arc_easy\? All names: python -m lm_eval ls"
    ) as said:
        LmEval(tasks=["arc_eazy"], include_path=str(folder)).evaluate(tiny, Context())
    assert "in include_path: copy, pick." in str(said.value) and len(str(said.value)) < 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include_path": "TASKS"}, r"task 'copy' reads from \$\{data_root\}, which is not set"),
        ({"include_path": "TASKS", "data_root": "/nowhere"}, r"the file /nowhere/copy.jsonl does not exist"),
        ({"include_path": "/nowhere"}, r"the folder of tasks /nowhere does not exist"),
        ({}, r"no tasks: name at least one"),
    ],
)
def test_what_is_missing_is_named(tiny: ModelRef, folder: Path, options: dict[str, str], message: str) -> None:
    given = {name: str(folder) if value == "TASKS" else value for name, value in options.items()}
    with pytest.raises(UserError, match=message):
        LmEval(**given).evaluate(tiny, Context())


def test_cut_prompts_are_counted_per_task(tiny: ModelRef, folder: Path) -> None:
    """Of choices the item counts once; of a generation the prompt has to leave room for the answer."""
    prompts = [len(f"Question: {row['question']}\nAnswer:") for row in ROWS]
    wholes = [length + max(len(f" {choice}") for choice in ROWS[0]["choices"]) for length in prompts]
    asked = [len(f"say {i % 2}") for i in range(4)]  # 5 tokens, and 4 for the answer
    suite = {"include_path": str(folder), "data_root": str(folder.parent)}
    # A model reads all but the last token of what it scores.
    for longest in (max(wholes) - 1, max(wholes) - 2, min(prompts), 10, max(asked) + 4, max(asked) + 3):
        if longest < max(f" {choice}".__len__() for choice in ROWS[0]["choices"]):
            continue
        found = LmEval(**suite, max_length=longest).evaluate(tiny, Context())
        assert headline(found, "pick").cut == sum(whole - 1 > longest for whole in wholes)
        assert headline(found, "copy").cut == sum(length + 4 > longest for length in asked)
        assert all(score.cut == headline(found, score.task).cut for score in found)
        assert {len(headline(found, task).items) for task in ("pick", "copy")} == {12, 4}


def test_the_training_context_cuts_no_prompt(tiny: ModelRef, folder: Path) -> None:
    """The evaluation has the model's own positions."""
    short, suite = ModelRef(tiny.name, tiny.path, max_length=9), LmEval(tasks=["pick"], include_path=str(folder))
    one, other = (suite.evaluate(ref, Context()) for ref in (short, tiny))
    assert headline(one, "pick") == headline(other, "pick") and headline(one, "pick").cut == 0


def test_the_batch_size_is_looked_for_at_lengths_that_occur(tiny: ModelRef, folder: Path, monkeypatch) -> None:
    """At all positions of a model of today no batch of generated answers would fit."""
    from lm_eval.models.huggingface import HFLM

    tried: list[int] = []

    def detect(self, requests=None, pos=0):
        tried.append(len(requests[pos][1]) + len(requests[pos][2]) if requests else self.max_length)
        return 2

    monkeypatch.setattr(HFLM, "_detect_batch_size", detect)
    suite = LmEval(tasks=["copy"], include_path=str(folder), data_root=str(folder.parent))
    with suite._harness_model(tiny, Context()) as model:
        monkeypatch.setattr(model, "batch_size_per_gpu", "auto")
    monkeypatch.setattr(suite.__class__, "_harness_model", lambda self, ref, context: nullcontext(model))
    suite.evaluate(tiny, Context())
    assert tried == [5 + 4 + 1]


def test_a_generation_that_does_not_fit_is_refused(tiny: ModelRef, folder: Path) -> None:
    suite = LmEval(tasks=["copy"], include_path=str(folder), data_root=str(folder.parent), max_gen_toks=600)
    with pytest.raises(UserError, match="max_gen_toks"):
        suite.evaluate(tiny, Context())


def test_a_group_has_one_headline_over_the_items_of_all_its_tasks() -> None:
    def sample(doc: int, value: float) -> dict[str, object]:
        return {"doc_id": doc, "doc": {"id": doc}, "filter": "none", "metrics": ["acc"], "acc": value, "doc_hash": "h"}

    results = {
        "groups": {"all": {}, "all_part": {}},
        "group_subtasks": {"all": ["all_part", "c"], "all_part": ["a", "b"]},
        "samples": {"a": [sample(0, 1.0)], "b": [sample(0, 0.0), sample(1, 1.0)], "c": [sample(0, 0.0)]},
        "results": {"a": {"acc,none": 1.0}, "b": {"acc,none": 0.5}, "c": {"acc,none": 0.0}, "all": {"acc,none": 0.5}},
        "higher_is_better": {},
    }
    found = scores_of_results(results, ["all"], "")
    assert headline(found, "all").items == {"a/0": 1.0, "b/0": 0.0, "b/1": 1.0, "c/0": 0.0}
    assert [score.task for score in found if score.headline] == ["all"]
    cut = scores_of_results(results, ["all"], "", {"a": {0}, "c": {0}})
    assert {score.task: score.cut for score in cut} == {"a": 1, "b": 0, "c": 1, "all": 2}
    # Weighted otherwise than by items, the group's value is not their mean: then none are kept.
    results["results"]["all"]["acc,none"] = 0.6
    assert headline(scores_of_results(results, ["all"], ""), "all").items == {}


def test_arc_easy_from_the_local_file(shared_data: Path) -> None:
    tasks = Path(__file__).resolve().parents[3] / "plugins" / "suites" / "tasks"
    suite = LmEval(tasks=["arc_easy_local"], include_path=str(tasks), data_root=str(shared_data), limit=8)
    ref = ModelRef(name="stories", path=str(shared_data / "models/stories-260k"), max_length=512)
    found = suite.evaluate(ref, Context())
    assert {score.metric: len(score.items) for score in found} == {"acc_norm": 8, "acc": 0}


@pytest.mark.slow
def test_lm_evals_own_collection_is_searched_and_its_data_asked_for(tiny: ModelRef) -> None:
    with pytest.raises(UserError, match=r"Did you mean .*hellaswag"):
        LmEval(tasks=["helaswag"]).evaluate(tiny, Context())
