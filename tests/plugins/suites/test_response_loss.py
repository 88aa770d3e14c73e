"""Bits per byte against a naive computation, one response at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from selbench_plugins.suites.response_loss import ResponseLoss

from selbench.api import Context, ModelRef, Score, UserError
from selbench.data.chat import RESPONSE, encode
from selbench.data.pools import FilePool
from selbench.models import load_model, load_tokenizer

ROWS = [
    {
        "id": f"r{i}",
        "instruction": "tell me " + "more " * (i % 4),
        "output": "été, " * (i % 5 + 1) + "fin",
        "category": "even" if i % 2 == 0 else "odd",
    }
    for i in range(15)
]


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """A random model of two layers over single bytes; Gemma 2 changes its logits after the head."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp(request.param)
    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(
        vocab_size=len(alphabet), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, initializer_range=0.3, max_position_embeddings=512, pad_token_id=1,
    )  # fmt: skip
    if request.param == "llama":
        LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
    else:
        Gemma2ForCausalLM(Gemma2Config(**shape, final_logit_softcapping=2.0)).save_pretrained(folder)
    return ModelRef(name="tiny", path=str(folder), max_length=512)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "held_out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def naive(ref: ModelRef, file: str) -> dict[str, tuple[float, int]]:
    """id -> (bits, bytes), with the whole forward pass of the model and no batching."""
    model, tokenizer = load_model(ref, device="cpu"), load_tokenizer(ref)
    found = {}
    for example in FilePool(path=file).load().pool:
        (row,) = encode([example], tokenizer, max_length=10**6)
        with torch.no_grad():
            logs = model(torch.from_numpy(row.ids)[None]).logits[0].log_softmax(-1)
        nats = -sum(logs[i - 1, row.ids[i]].item() for i in np.flatnonzero(row.roles == RESPONSE))
        found[example.id] = nats / math.log(2), len(example.response.encode())
    return found


def by_task(found: list[Score]) -> dict[str, Score]:
    return {score.task: score for score in found}


def test_agrees_with_one_response_at_a_time(tiny: ModelRef, file: str) -> None:
    reference = naive(tiny, file)
    found = by_task(ResponseLoss(sets={"held": file}).evaluate(tiny, Context()))
    held = found["held"]
    assert (held.metric, held.higher_is_better, held.headline) == ("bits_per_byte", False, True)
    assert held.items == pytest.approx({id: bits / size for id, (bits, size) in reference.items()}, abs=1e-4)
    bits, sizes = np.asarray(list(reference.values())).T
    assert held.value == pytest.approx(bits.sum() / sizes.sum(), abs=1e-4)
    for category, chosen in (("even", slice(0, None, 2)), ("odd", slice(1, None, 2))):
        score = found[f"held/{category}"]
        assert score.value == pytest.approx(bits[chosen].sum() / sizes[chosen].sum(), abs=1e-4)
        assert (score.headline, score.items) == (False, {})


@pytest.mark.parametrize("batch_size", [1, 300, 100_000])
def test_batching_changes_nothing(tiny: ModelRef, file: str, batch_size: int) -> None:
    found = ResponseLoss(sets={"held": file}, batch_size=batch_size).evaluate(tiny, Context())
    usual = ResponseLoss(sets={"held": file}).evaluate(tiny, Context())
    assert [score.value for score in found] == pytest.approx([score.value for score in usual], abs=1e-5)


def test_limit_takes_the_same_examples_every_time(tiny: ModelRef, file: str) -> None:
    (some, *_), (more, *_) = (ResponseLoss(sets={"h": file}, limit=n).evaluate(tiny, Context()) for n in (4, 9))
    assert len(some.items) == 4 and set(some.items) < set(more.items)
    reference = naive(tiny, file)
    assert some.items == pytest.approx({id: reference[id][0] / reference[id][1] for id in some.items}, abs=1e-4)


def test_what_does_not_fit_counts_neither_as_bits_nor_as_bytes(tiny: ModelRef, tmp_path: Path) -> None:
    rows = [
        {"id": "long", "instruction": "say", "output": "abcdefghij"},
        {"id": "none", "instruction": "x" * 300, "output": "y"},
    ]
    path = tmp_path / "long.json"
    path.write_text(json.dumps(rows))
    example = FilePool(path=str(path)).load().pool[0]
    (row,) = encode([example], load_tokenizer(tiny), max_length=10**6)
    start = int(np.flatnonzero(row.roles == RESPONSE)[0])

    context = Context()
    (score,) = ResponseLoss(sets={"s": str(path)}, max_length=start + 4).evaluate(tiny, context)
    assert (context.logged["left_out"], context.logged["cut"]) == (1, 1)
    assert (score.left_out, score.cut) == (1, 1)
    logs = load_model(tiny, device="cpu")(torch.from_numpy(row.ids)[None]).logits[0].log_softmax(-1)
    bits = -sum(logs[i - 1, row.ids[i]].item() for i in range(start, start + 4)) / math.log(2)
    assert score.items == {"long": pytest.approx(bits / 4, abs=1e-4)}  # four of ten tokens, four of ten bytes
    with pytest.raises(UserError, match=r"no response of the set 's' fits into .* the max_length of the suite"):
        ResponseLoss(sets={"s": str(path)}, max_length=start).evaluate(tiny, Context())
    # The training context is not the evaluation's.
    short = ModelRef(tiny.name, tiny.path, max_length=start + 4)
    (whole,) = ResponseLoss(sets={"s": str(path)}).evaluate(short, Context())
    assert (set(whole.items), whole.left_out, whole.cut) == ({"long", "none"}, 0, 0)


def test_only_the_last_turn_of_a_conversation_is_scored(tiny: ModelRef, tmp_path: Path) -> None:
    turns = [("user", "hi"), ("assistant", "hello there"), ("user", "bye"), ("assistant", "so long")]
    path = tmp_path / "turns.json"
    path.write_text(json.dumps([{"id": "a", "messages": [{"role": r, "content": c} for r, c in turns]}]))
    (score,) = ResponseLoss(sets={"s": str(path)}).evaluate(tiny, Context())
    example = FilePool(path=str(path)).load().pool[0]
    (row,) = encode([example], load_tokenizer(tiny), max_length=10**6)
    spots = np.flatnonzero(row.roles == RESPONSE)[-len("so long") :]
    logs = load_model(tiny, device="cpu")(torch.from_numpy(row.ids)[None]).logits[0].log_softmax(-1)
    bits = -sum(logs[i - 1, row.ids[i]].item() for i in spots) / math.log(2)
    assert score.value == pytest.approx(bits / len("so long"), abs=1e-4)


def test_missing_sets_and_files_are_named(tiny: ModelRef) -> None:
    with pytest.raises(UserError, match="no sets"):
        ResponseLoss().evaluate(tiny, Context())
    with pytest.raises(UserError, match=r"/nowhere\.jsonl does not exist"):
        ResponseLoss(sets={"s": "/nowhere.jsonl"}).evaluate(tiny, Context())
    with pytest.raises(UserError, match="limit=-1"):
        ResponseLoss(limit=-1)


def test_real_sets_on_a_real_model(shared_data: Path) -> None:
    names = {"lima": "lima_1k", "gpteacher": "gpteacher_roleplay", "self_instruct": "self_instruct_seed_tasks"}
    sets = {name: str(shared_data / f"instruction/{file}.jsonl.gz") for name, file in names.items()}
    ref = ModelRef(name="stories", path=str(shared_data / "models/stories-260k"), max_length=512)
    found = ResponseLoss(sets=sets, limit=6).evaluate(ref, Context())
    assert [score.task for score in found if score.headline] == list(sets)
    assert all(1 < score.value < 8 for score in found)
