"""The model that a process keeps: the bits of a fresh load, whatever was merged before, and never half a merge."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from helpers.tiny_models import make_model

from selbench import kept_model, models
from selbench.api import ModelRef
from selbench.errors import UserError
from selbench.kept_model import borrowed_model, forget_model, make_room
from selbench.models import load_model

IDS = torch.tensor([[1, 7, 9, 11, 13, 8, 20, 21]])


@pytest.fixture(autouse=True)
def nothing_kept():
    forget_model()
    yield
    forget_model()


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("base"))


def adapter(base: ModelRef, folder: Path, seed: int, **options) -> ModelRef:
    """The base with a new adapter that changes a lot."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    chosen = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"], **options}
    network = get_peft_model(load_model(dataclasses.replace(base, dtype="float32"), device="cpu"), LoraConfig(**chosen))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.5)
    network.save_pretrained(folder)
    return dataclasses.replace(base, adapter=str(folder))


@pytest.fixture(scope="module")
def pair(base, tmp_path_factory) -> tuple[ModelRef, ModelRef]:
    folder = tmp_path_factory.mktemp("adapters")
    return adapter(base, folder / "a", 1), adapter(base, folder / "b", 2, target_modules=["q_proj", "v_proj"], r=3)


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """What is loaded from its files, in order."""
    found: list[str] = []
    load = models._load_pretrained

    def counted(how, ref, **options):
        if how.__self__.__name__ == "AutoModelForCausalLM":
            found.append(ref.name)
        return load(how, ref, **options)

    monkeypatch.setattr(models, "_load_pretrained", counted)
    return found


def logits(network) -> torch.Tensor:
    with torch.inference_mode():
        return network(input_ids=IDS.to(network.device)).logits.cpu()


def weights(network) -> dict[str, torch.Tensor]:
    return {name: tensor.cpu().clone() for name, tensor in network.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def borrowed(ref: ModelRef):
    with borrowed_model(ref) as network:
        assert not network.training
        return logits(network), weights(network)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_of_one_base_have_the_bits_of_fresh_loads(base, pair, dtype, loads):
    a, b, plain = (dataclasses.replace(ref, dtype=dtype) for ref in (*pair, base))
    fresh = {}
    for name, ref in {"a": a, "b": b, "plain": plain}.items():
        network = load_model(ref)
        fresh[name] = logits(network), weights(network)
    assert not torch.equal(fresh["a"][0], fresh["b"][0]) and not torch.equal(fresh["a"][0], fresh["plain"][0])
    loads.clear()
    for name, ref in [("a", a), ("b", b), ("plain", plain), ("a", a), ("a", a), ("plain", plain), ("b", b)]:
        found = borrowed(ref)
        assert torch.equal(found[0], fresh[name][0]), name
        assert same(found[1], fresh[name][1]), name
    assert loads == ["llama"]  # once


def test_another_base_or_dtype_is_loaded_after_the_kept_one_is_gone(base, tmp_path, loads, monkeypatch):
    import weakref

    with borrowed_model(base) as network:
        gone = weakref.ref(network)
    del network
    alive = []
    monkeypatch.setattr(
        kept_model, "load_model", lambda ref, **options: alive.append(gone() is not None) or load_model(ref)
    )
    other = make_model(tmp_path / "other", seed=5)
    assert same(borrowed(other)[1], weights(load_model(other)))
    assert alive == [False]
    assert borrowed(dataclasses.replace(other, dtype="bfloat16"))[0].dtype == torch.bfloat16


def test_the_same_weights_under_another_name_or_template_are_the_same_base(base, tmp_path, loads):
    borrowed(base)
    moved = tmp_path / "moved"
    shutil.copytree(base.path, moved)
    borrowed(ModelRef("other name", str(moved), template="alpaca", max_length=9))
    assert loads == ["llama"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_a_failure_inside_leaves_nothing_behind(base, pair, error, loads):
    plain = weights(load_model(base))
    borrowed(base)
    with pytest.raises(error), borrowed_model(pair[0]):
        raise error("in the middle")
    assert kept_model._kept is None
    assert same(borrowed(base)[1], plain)


@pytest.mark.parametrize("where", ["merge_and_unload", "from_pretrained"])
def test_an_interrupted_merge_leaves_nothing_behind(base, pair, monkeypatch, where):
    from peft import PeftModel
    from peft.tuners.lora.layer import Linear

    plain = weights(load_model(base))
    borrowed(base)
    with monkeypatch.context() as patch:
        if where == "merge_and_unload":  # half of the layers are merged
            merge, done = Linear.merge, []

            def interrupted(self, *args, **options):
                done.append(merge(self, *args, **options))
                if len(done) == 2:
                    raise KeyboardInterrupt

            patch.setattr(Linear, "merge", interrupted)
        else:
            patch.setattr(PeftModel, "from_pretrained", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), borrowed_model(pair[0]):
            pass
    assert kept_model._kept is None
    assert same(borrowed(base)[1], plain)


UNUSUAL = {
    "dora": {"use_dora": True},
    "a saved module": {"modules_to_save": ["lm_head"]},
    "an embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "a bias of its own": {"bias": "lora_only"},
    "pissa": {"init_lora_weights": "pissa"},
}


@pytest.mark.parametrize("options", UNUSUAL.values(), ids=UNUSUAL)
def test_an_adapter_that_cannot_be_undone_surely_is_loaded_anew(base, pair, tmp_path, options, loads):
    odd = adapter(base, tmp_path / "odd", 3, **options)
    fresh = {name: weights(load_model(ref)) for name, ref in {"odd": odd, "a": pair[0], "base": base}.items()}
    loads.clear()
    for name, ref, count in [("base", base, 1), ("odd", odd, 2), ("odd", odd, 2), ("base", base, 3), ("a", pair[0], 3)]:
        assert same(borrowed(ref)[1], fresh[name]), name
        assert len(loads) == count, name
    assert same(borrowed(odd)[1], fresh["odd"])


def test_tied_weights(tmp_path, loads):
    """An adapter on other layers is undone; one on the shared weight is not, and its base is loaded anew."""
    tied = make_model(tmp_path / "tied", "qwen2", tie_word_embeddings=True)
    aside = adapter(tied, tmp_path / "aside", 1)
    shared = adapter(tied, tmp_path / "shared", 2, target_modules=["q_proj", "lm_head"])
    fresh = {name: weights(load_model(ref)) for name, ref in {"tied": tied, "aside": aside, "shared": shared}.items()}
    loads.clear()
    for name, ref, count in [("aside", aside, 1), ("tied", tied, 1), ("shared", shared, 2), ("tied", tied, 3)]:
        assert same(borrowed(ref)[1], fresh[name]), name
        assert len(loads) == count, name


def test_resized_embeddings(base, tmp_path):
    """The adapter's file then holds the embeddings: no plain LoRA."""
    from safetensors.torch import load_file, save_file

    ref = adapter(base, tmp_path / "resized", 4)
    file = tmp_path / "resized" / "adapter_model.safetensors"
    head = load_model(base).lm_head.weight.detach().clone()
    save_file({**load_file(file), "base_model.model.lm_head.weight": head * 2}, file)
    plain = weights(load_model(base))
    borrowed(base)
    assert same(borrowed(ref)[1], weights(load_model(ref)))
    assert same(borrowed(base)[1], plain)


def test_a_second_reader_of_another_model_gets_one_of_its_own(base, pair):
    with borrowed_model(pair[0]) as one:
        first = weights(one)
        with borrowed_model(pair[1]) as other, borrowed_model(pair[0]) as again:
            assert other is not one and again is one
            assert same(weights(other), weights(load_model(pair[1])))
            make_room()
        assert same(weights(one), first)
    assert kept_model._kept is not None and kept_model._kept.network is one


@pytest.mark.parametrize("how", ["a weight", "a buffer", "the configuration", "a hook", "training"])
def test_a_model_that_a_reader_changed_is_not_kept(base, how):
    fresh = weights(load_model(base))
    with borrowed_model(base) as network:
        if how == "a weight":
            with torch.no_grad():
                network.lm_head.weight[0, 0] = 7.0
        elif how == "a buffer":
            network.model.rotary_emb.inv_freq = network.model.rotary_emb.inv_freq * 2
        elif how == "the configuration":
            network.config.rms_norm_eps = 0.5
        elif how == "a hook":
            network.lm_head.register_forward_hook(lambda *_: None)
        else:
            network.train()
    assert kept_model._kept is None
    assert same(borrowed(base)[1], fresh)


def test_room_is_made_before_a_model_is_loaded_or_trained(base, monkeypatch):
    borrowed(base)
    monkeypatch.setattr(kept_model, "free_bytes", lambda device: 10**9)
    load_model(base)
    assert kept_model._kept is not None  # a few kilobytes
    monkeypatch.setattr(kept_model, "free_bytes", lambda device: 1000)
    load_model(base)
    assert kept_model._kept is None


def test_without_memory_for_copies_the_base_is_loaded_anew(base, pair, monkeypatch, loads):
    from selbench import adapters

    monkeypatch.setattr(adapters, "free_bytes", lambda device: 1000)
    fresh = weights(load_model(pair[0]))
    loads.clear()
    assert same(borrowed(pair[0])[1], fresh)
    borrowed(pair[0])
    assert len(loads) == 2  # the base once in vain


def test_suites_and_seeds_of_one_tuned_model_need_one_load(base, pair, tmp_path, loads):
    from helpers.choosing_tasks import write_tasks
    from selbench_plugins.suites.lm_eval import LmEval
    from selbench_plugins.suites.response_loss import ResponseLoss

    from selbench.api import Context

    file = tmp_path / "set.jsonl"
    file.write_text('{"id": "0", "instruction": "red green", "output": "blue one two"}\n')
    suites = [ResponseLoss(sets={"a": str(file)}), LmEval(include_path=write_tasks(tmp_path / "tasks"), limit=2)]
    apart = []
    for suite in suites:
        forget_model()
        apart.append(suite.evaluate(pair[0], Context()))
    forget_model()
    loads.clear()
    for seed in (0, 1):
        assert [suite.evaluate(pair[0], Context(seed=seed)) for suite in suites] == apart
    assert loads.count("llama") == 1
