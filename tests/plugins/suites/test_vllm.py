"""backend=vllm: lm-eval's own class for vLLM over a stand-in for vllm gives the scores of backend=hf, item by item."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
from helpers.choosing_tasks import expect_answers, write_tasks
from helpers.tiny_models import make_model
from selbench_plugins.suites import _vllm
from selbench_plugins.suites.lm_eval import LmEval

from selbench import kept_model
from selbench.api import Context, ModelRef, Score, UserError
from selbench.models import load_model

STAND_IN = Path(__file__).parents[2] / "helpers" / "vllm_stand_in"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def vllm():
    """The stand-in, where vllm itself would be. lm-eval registers its class for it once in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STAND_IN))
        importlib.invalidate_caches()
        yield importlib.import_module("vllm")
    for name in [name for name in sys.modules if name.split(".")[0] == "vllm"]:
        del sys.modules[name]


def scores(folder: Path, model: ModelRef, scratch: Path, **options) -> list[Score]:
    return LmEval(include_path=str(folder), **options).evaluate(model, Context(scratch=scratch))


@pytest.fixture
def tasks(tmp_path, tiny, vllm) -> Path:
    """The tasks, some of whose right answers are what the model writes."""
    from lm_eval.models.huggingface import HFLM

    folder, said = tmp_path / "tasks", []
    write_tasks(folder)
    with pytest.MonkeyPatch.context() as patch:
        write = HFLM.generate_until

        def noted(self, requests, **options):
            said.extend(found := write(self, requests, **options))
            return found

        patch.setattr(HFLM, "generate_until", noted)
        scores(folder, tiny, tmp_path, tasks=["write"])
    expect_answers(folder, said)
    return folder


def adapted(base: ModelRef, folder: Path, **options) -> ModelRef:
    import torch
    from peft import LoraConfig, get_peft_model

    chosen = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"], **options}
    network = get_peft_model(load_model(base), LoraConfig(**chosen))
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.5)
    network.save_pretrained(folder)
    return dataclasses.replace(base, adapter=str(folder))


def comparable(found: list[Score]) -> list[Score]:
    return sorted(found, key=lambda score: (score.task, score.metric))


@pytest.mark.parametrize(
    "options", [{}, {"apply_chat_template": True}, {"num_fewshot": 2}, {"limit": 4}, {"add_bos_token": True}]
)
def test_scores_are_those_of_hf(tasks, tiny, vllm, tmp_path, options):
    vllm.made.clear()
    ours, theirs = (scores(tasks, tiny, tmp_path / b, backend=b, **options) for b in ("hf", "vllm"))
    assert comparable(ours) == comparable(theirs)
    if not options:
        assert all(0 < score.value < 1 for score in ours if score.headline), ours
    (engine,) = vllm.made
    assert (engine["model"], engine["dtype"], engine["max_model_len"]) == (tiny.path, "float32", 64)
    assert engine["enable_lora"] is False and engine["revision"] is None


@pytest.mark.parametrize("kind", ["plain", "dora", "saved"])
def test_an_adapter_is_merged_into_a_copy(tasks, tiny, vllm, tmp_path, kind):
    options = {"plain": {}, "dora": {"use_dora": True}, "saved": {"modules_to_save": ["lm_head"]}}[kind]
    model = adapted(tiny, tmp_path / "adapter", **options)
    ours, theirs = (scores(tasks, model, tmp_path / b, backend=b) for b in ("hf", "vllm"))
    assert comparable(ours) == comparable(theirs)
    assert comparable(ours) != comparable(scores(tasks, tiny, tmp_path))
    assert vllm.made[-1]["model"] == str(tmp_path / "vllm" / "merged")
    assert kept_model._kept is None or kept_model._kept.adapter == ""  # not beside an engine


def test_the_chat_template_in_force_is_the_one_of_the_model_reference(tasks, tiny, vllm, tmp_path):
    """`alpaca`, while the tokenizer on disk has a template of its own."""
    model = dataclasses.replace(tiny, template="alpaca")
    prompts = []
    for ref in (tiny, model):
        vllm.asked.clear()
        scores(tasks, ref, tmp_path / ref.template, backend="vllm", apply_chat_template=True, tasks=["pick"])
        prompts.append([tuple(each) for each in vllm.asked])
    assert prompts[0] != prompts[1]


def test_what_does_not_fit_is_counted(tasks, tiny, vllm, tmp_path):
    """vLLM writes a token after each text that it scores: it reads two tokens less of one than hf."""
    found = {
        (b, n): scores(tasks, tiny, tmp_path / f"{b}{n}", backend=b, max_length=n)
        for b in ("hf", "vllm")
        for n in (4, 5, 6)
    }
    cut = {key: {score.task: score.cut for score in part if score.headline} for key, part in found.items()}
    assert cut["vllm", 6]["pick"] == cut["hf", 4]["pick"]
    assert [cut["vllm", n]["write"] for n in (4, 5, 6)] == [cut["hf", n]["write"] for n in (4, 5, 6)]
    assert cut["hf", 4]["write"] > 0


def test_arguments_of_lm_evals_class_reach_it(tasks, tiny, vllm, tmp_path):
    more = {"gpu_memory_utilization": 0.5, "tensor_parallel_size": 1, "enforce_eager": True}
    scores(tasks, tiny, tmp_path / "s", backend="vllm", backend_options=more, tasks=["pick"])
    assert more.items() <= vllm.made[-1].items()


def test_an_engine_that_does_not_start_leaves_nothing(tasks, tiny, vllm, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm.LLM, "__init__", lambda *_, **__: (_ for _ in ()).throw(ValueError("no GPU")))
    with pytest.raises(ValueError, match="no GPU"):
        scores(tasks, tiny, tmp_path / "s", backend="vllm")


def test_the_names_of_arguments_are_those_of_lm_evals_class():
    """Read from its source, because the module cannot be imported without vllm."""
    source = Path(importlib.util.find_spec("lm_eval").origin).parent / "models" / "vllm_causallms.py"
    tree = ast.parse(source.read_text())
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "VLLM"]
    (init,) = [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    known = {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)}
    call = next(
        node
        for node in ast.walk(ast.parse(Path(_vllm.__file__).read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "counting_vllm_class()"
    )
    given = {word.arg for word in call.keywords if word.arg}
    assert {"pretrained", "tokenizer", "dtype", "max_model_len"} <= given <= known
    assert set(_vllm.SAID_ELSEWHERE) - {"model"} <= known and given <= {*_vllm.SAID_ELSEWHERE}
    for method in ("_loglikelihood_tokens", "generate_until", "tok_encode", "max_length", "max_gen_toks"):
        assert any(isinstance(node, ast.FunctionDef) and node.name == method for node in cls.body), method


@pytest.mark.parametrize(("name", "said"), [("dtype", "said by model.dtype"), ("batch_size", "selbench sets it")])
def test_an_option_that_is_said_elsewhere_is_refused(tmp_path, name, said):
    suite = LmEval(include_path=write_tasks(tmp_path), backend="vllm", backend_options={name: 1})
    with pytest.raises(UserError, match=rf"backend_options\.{name}: .*{said}"):
        suite.check()


def test_only_another_backend_enters_the_key(tmp_path):
    folder = write_tasks(tmp_path)
    plain, other = LmEval(include_path=folder).identity(), LmEval(include_path=folder, backend="vllm").identity()
    assert not {"backend", "backend_options"} & plain.keys()
    assert other == {**plain, "backend": "vllm"}
    assert LmEval(include_path=folder, backend="vllm", backend_options={"quantization": "fp8"}).identity() != other
