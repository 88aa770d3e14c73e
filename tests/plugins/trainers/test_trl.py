"""The trl trainer: what it learns from, in which order, for how long, and what it leaves behind."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from selbench_plugins.trainers.trl import Trl

from selbench.api import Context, Example, ModelRef, UserError
from selbench.data.chat import encode
from selbench.models import folder_hash, load_model, load_tokenizer

CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + ']' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)
WORDS = ["red", "green", "blue", "one", "two", "three", "four", "cat", "dog", "bird"]
EXAMPLES = [
    Example(
        id=f"e{i}", instruction=f"say {' '.join(WORDS[: i % 7 + 1])}", response=" ".join(WORDS[i % 5 :] * (i % 3 + 1))
    )
    for i in range(21)
]


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
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=CHAT)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    config = LlamaConfig(vocab_size=len(alphabet), max_position_embeddings=512, bos_token_id=0, eos_token_id=1, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    return ModelRef(name="tiny", path=str(folder), max_length=512)


def weights(ref: ModelRef) -> dict[str, torch.Tensor]:
    return load_model(ref, device="cpu").state_dict()


def same(one: ModelRef, other: ModelRef) -> bool:
    a, b = weights(one), weights(other)
    return all(torch.equal(a[name], b[name]) for name in a)


def test_same_seed_gives_the_same_bits_whatever_the_order_of_the_examples(tiny: ModelRef) -> None:
    trainer = Trl(epochs=2, batch_size=4, learning_rate=1e-2)
    first = trainer.train(EXAMPLES, tiny, Context(seed=1))
    assert same(first, trainer.train(EXAMPLES, tiny, Context(seed=1)))
    assert same(first, trainer.train(EXAMPLES[::-1], tiny, Context(seed=1)))
    assert not same(first, trainer.train(EXAMPLES, tiny, Context(seed=2)))
    assert not same(first, tiny)


def test_leaves_the_callers_random_state_and_the_terminal_alone(
    tiny: ModelRef, capfd: pytest.CaptureFixture[str]
) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    Trl(match="steps", steps=1).train(EXAMPLES, tiny, Context(seed=3))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_loss_is_the_mean_over_response_tokens_only(tiny: ModelRef, template: str) -> None:
    ref = replace(tiny, template=template)
    context = Context(seed=0)
    Trl(match="steps", steps=1, batch_size=len(EXAMPLES), micro_batch_size=4).train(EXAMPLES, ref, context)

    model, tokenizer = load_model(ref, device="cpu"), load_tokenizer(ref)
    total = count = 0.0
    for row in encode(EXAMPLES, tokenizer, max_length=512):
        ids = torch.from_numpy(row.ids)
        logs = model(ids[None]).logits[0, :-1].log_softmax(-1)
        each = -logs[torch.arange(len(ids) - 1), ids[1:]][torch.from_numpy(row.in_loss[1:])]
        total, count = total + each.sum().item(), count + len(each)
    assert context.logged["train_loss"] == pytest.approx(total / count, abs=1e-5)
    assert context.logged["response_tokens_seen"] == count
    # Bytes of all responses, and one end token each.
    assert count == sum(len(e.response) + 1 for e in EXAMPLES)


def test_cutting_a_step_into_passes_changes_nothing_but_rounding(tiny: ModelRef) -> None:
    whole = weights(Trl(match="steps", steps=3, learning_rate=1e-3).train(EXAMPLES, tiny, Context()))
    parts = weights(
        Trl(match="steps", steps=3, learning_rate=1e-3, micro_batch_size=1).train(EXAMPLES, tiny, Context())
    )
    assert all(torch.allclose(whole[name], parts[name], atol=2e-5) for name in whole)


@pytest.mark.parametrize(
    ("options", "steps", "epochs"),
    [
        ({"epochs": 2.0}, 12, 2.0),
        ({"epochs": 1.5}, 6 + 3, (21 + 11) / 21),
        ({"match": "steps", "steps": 7}, 7, (21 + 4) / 21),
    ],
)
def test_trains_for_exactly_as_long_as_asked(
    tiny: ModelRef, options: dict[str, float], steps: int, epochs: float
) -> None:
    context = Context()
    Trl(batch_size=4, **options).train(EXAMPLES, tiny, context)
    assert context.logged["steps"] == steps
    assert context.logged["epochs"] == pytest.approx(epochs)


def test_tokens_end_with_the_example_that_reaches_them(tiny: ModelRef) -> None:
    longest = max(len(e.response) + 1 for e in EXAMPLES)
    short = Context()
    Trl(match="tokens", tokens=2000, batch_size=4).train(EXAMPLES, tiny, short)
    assert 2000 <= short.logged["response_tokens_seen"] < 2000 + longest
    long = Context()
    Trl(match="tokens", tokens=2000, batch_size=4).train(EXAMPLES[2::3], tiny, long)  # the longest responses
    assert long.logged["epochs"] > short.logged["epochs"]
    assert 2000 <= long.logged["response_tokens_seen"] < 2000 + longest


def test_lora_writes_an_adapter_and_leaves_the_base_alone(tiny: ModelRef) -> None:
    before = folder_hash(Path(tiny.path))
    tuned = Trl(lora_rank=2, epochs=2, learning_rate=1e-2).train(EXAMPLES, tiny, Context())
    assert (tuned.path, folder_hash(Path(tiny.path))) == (tiny.path, before)
    assert tuned.adapter and not list(Path(tuned.adapter).glob("model*.safetensors"))
    assert not same(tuned, tiny)
    assert load_tokenizer(tuned).chat_template == load_tokenizer(tiny).chat_template
    assert same(tuned, Trl(lora_rank=2, epochs=2, learning_rate=1e-2).train(EXAMPLES, tiny, Context()))

    again = Trl(lora_rank=2, match="steps", steps=1).train(EXAMPLES, tuned, Context())
    assert again.adapter is None and not same(again, tuned)


@pytest.mark.parametrize("template", ["auto", "alpaca"])
def test_result_speaks_the_template_it_was_trained_on(tiny: ModelRef, template: str) -> None:
    from transformers import AutoTokenizer

    ref = replace(tiny, template=template)
    context = Context()
    tuned = Trl(match="steps", steps=1).train(EXAMPLES, ref, context)
    assert tuned.path == str(context.scratch / "model")
    told = load_tokenizer(ref)
    assert AutoTokenizer.from_pretrained(tuned.path).chat_template == told.chat_template
    for one, other in zip(*(encode(EXAMPLES, t, max_length=512) for t in (told, load_tokenizer(tuned)))):
        assert one.ids.tolist() == other.ids.tolist()


def test_examples_that_do_not_fit_are_cut_or_dropped(tiny: ModelRef) -> None:
    long = Example(id="long prompt", instruction="x" * 100, response="never seen")
    cut = Example(id="long response", instruction="say", response="y" * 100)
    short = [Example(id=word, instruction="say", response=word) for word in WORDS]
    context = Context()
    Trl(max_length=60, epochs=1).train([*short, long, cut], tiny, context)
    assert (context.logged["truncated_examples"], context.logged["dropped_examples"]) == (2, 1)
    with pytest.raises(UserError, match="none of the 1 examples has any response left within 60 tokens"):
        Trl(max_length=60).train([long], tiny, Context())


def test_divergence_is_said_and_nothing_is_written(tiny: ModelRef) -> None:
    context = Context()
    with pytest.raises(UserError, match=r"diverged.*learning_rate"):
        Trl(match="steps", steps=8, learning_rate=1e30, max_grad_norm=1e30).train(EXAMPLES, tiny, context)
    assert not list((context.scratch / "model").glob("*.safetensors"))


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 0}, {"warmup_ratio": 1.0}, {"lora_rank": -1}, {"match": "hours"}]
)
def test_senseless_options_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        Trl(**options)


def test_learns_real_data_on_a_real_model(shared_data: Path) -> None:
    from selbench.data.pools import FilePool

    pool = FilePool(path=str(shared_data / "instruction/alpaca_gpt4_1k.jsonl.gz")).load().pool
    ref = ModelRef(name="stories", path=str(shared_data / "models/stories-260k"), max_length=128)
    before, after = Context(), Context()
    short = [e for e in pool if len(e.response) < 60][:40]
    options = dict(match="steps", batch_size=40)
    tuned = Trl(steps=15, learning_rate=1e-3, **options).train(short, ref, before)
    Trl(steps=1, **options).train(short, tuned, after)
    assert after.logged["train_loss"] < before.logged["train_loss"] - 0.1


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2, "lora_dropout": 0.3}])
def test_an_interrupted_training_goes_on_where_it_was_and_ends_with_the_same_bits(tiny, tmp_path, monkeypatch, options):
    from selbench_plugins.trainers import _checkpoints, _sft

    trainer = Trl(epochs=2, batch_size=4, learning_rate=1e-2, **options)
    straight = Context(seed=1)
    expected = trainer.train(EXAMPLES, tiny, straight)

    monkeypatch.setattr(_checkpoints, "EVERY_S", 0.0)
    monkeypatch.setattr(_checkpoints, "SHARE", 0.0)
    kept = tmp_path / "kept"
    kept.mkdir()
    handed_out = []
    steps = _sft.Batches.__iter__

    def until_killed(self):
        for batch in steps(self):
            if len(handed_out) == 7:
                raise KeyboardInterrupt
            handed_out.append(batch)
            yield batch

    monkeypatch.setattr(_sft.Batches, "__iter__", until_killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(EXAMPLES, tiny, Context(seed=1, checkpoint=kept))
    assert _checkpoints.steps_done(_checkpoints.latest_checkpoint(kept)) == 7
    (kept / "checkpoint-9").mkdir()  # one that was cut short does not count

    del handed_out[:]
    again = Context(seed=1, checkpoint=kept)
    resumed = trainer.train(EXAMPLES, tiny, again)
    assert len(handed_out) == 12 - 7
    assert same(expected, resumed)
    assert again.logged == pytest.approx(straight.logged)
