"""The two planted base models and their tokenizer."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import selbench
from selbench.api import Example, ModelRef
from selbench.data.chat import END, PROMPT, RESPONSE, TEMPLATE, encode, render_prompt
from selbench.models import load_model, load_tokenizer
from selbench.planted.items import held_out_items
from selbench.planted.pool import PlantedPool
from selbench.planted.skills import skills

MODELS = Path(selbench.__file__).parent / "planted" / "models"
NAMES = ["planted-1m", "planted-4m"]
ANSWER_TOKENS = 8


def _ref(name: str) -> ModelRef:
    return ModelRef(name=name, path=str(MODELS / name), template="chat", max_length=128)


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return load_model(_ref(request.param), device="cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(_ref("planted-1m"))


@pytest.fixture(scope="module")
def pool():
    return PlantedPool(size=4000).load().pool


def test_models_are_small_on_disk_and_say_what_they_are():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 12 * 10**6
    for name in NAMES:
        card = (MODELS / name / "MODEL_CARD.md").read_text()
        assert name in card and "apache-2.0" in card and "selbench.planted.pretrain" in card


@pytest.mark.parametrize(("name", "millions"), [("planted-1m", 1), ("planted-4m", 4)])
def test_models_load_like_any_other(name, millions):
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(MODELS / name)
    assert type(network).__name__ == "LlamaForCausalLM"
    assert network.dtype == torch.float32
    assert network.num_parameters() == pytest.approx(millions * 1e6, rel=0.1)


def test_both_models_have_the_tokenizer_the_script_builds(tokenizer):
    from selbench.planted.tokenizer import build_tokenizer

    for other in (load_tokenizer(_ref("planted-4m")), build_tokenizer()):
        assert other.get_vocab() == tokenizer.get_vocab()
        assert other.chat_template == tokenizer.chat_template
        assert other.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_a_pool_has_no_unknown_word_and_comes_back_word_for_word(tokenizer, pool):
    texts = [text for example in pool for text in (example.instruction, example.input, example.response) if text]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert all(tokenizer.unk_token_id not in row for row in rows)
    assert tokenizer.batch_decode(rows) == texts


def test_the_longest_example_fits(tokenizer, pool):
    rows = encode(pool, tokenizer, max_length=10**6)
    limit = _ref("planted-1m").max_length
    assert max(len(row.ids) for row in rows) <= limit <= tokenizer.model_max_length


@pytest.fixture
def one_thread():
    """Run torch on one thread: models this small gain nothing from a second core, and lose much if it is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


CONVERSATION = Example(
    id="x",
    system="please help.",
    history=(("what is 2 plus 3?", "5"),),
    instruction="reverse this list.",
    input="bab tal",
    response="tal bab",
)


def test_every_token_of_a_conversation_is_labelled(tokenizer):
    (row,) = encode([CONVERSATION], tokenizer, max_length=128)
    tokens = {
        role: " ".join(tokenizer.convert_ids_to_tokens(row.ids[row.roles == role].tolist()))
        for role in (TEMPLATE, PROMPT, RESPONSE, END)
    }
    assert tokens == {
        TEMPLATE: "<s> <|system|> <|user|> <|assistant|> <|user|> <|assistant|>",
        PROMPT: "please help . what is 2 plus 3 ? reverse this list . bab tal",
        RESPONSE: "5 tal bab",
        END: "</s> </s>",
    }


def test_the_prompt_ends_where_the_response_begins(tokenizer):
    (whole,) = encode([CONVERSATION], tokenizer, max_length=128)
    (prompt,) = encode([CONVERSATION], tokenizer, max_length=128, response=False)
    assert render_prompt(CONVERSATION, tokenizer).endswith("<|assistant|>")
    assert whole.ids[: len(prompt.ids)].tolist() == prompt.ids.tolist()
    assert whole.roles[len(prompt.ids)] == RESPONSE


def test_a_whole_pool_is_labelled_without_gaps(tokenizer, pool):
    for example, row in zip(pool, encode(pool, tokenizer, max_length=128)):
        said = {role: tokenizer.decode(row.ids[row.roles == role]) for role in (PROMPT, RESPONSE)}
        assert said == {PROMPT: " ".join(example.question.split()), RESPONSE: example.response}
        assert (row.roles == END).sum() == 1 and (row.roles == TEMPLATE).sum() == 3


def test_models_know_the_world(model, tokenizer, one_thread):
    from selbench.planted.pretrain import pretraining_batches, weighted_losses

    with torch.no_grad():
        found = [
            weighted_losses(model, *batch)[1].item() for batch in islice(pretraining_batches(tokenizer, seed=99), 3)
        ]
    assert np.mean(found) < 0.35  # nats per foreseeable token; a uniform guess over the vocabulary has 6.8


def test_the_pretraining_script_repeats_itself(tmp_path, monkeypatch, one_thread):
    from selbench.planted import pretrain

    tiny = pretrain.Shape(width=16, inner=16, layers=1, heads=2, learning_rate=1e-3, steps=3, bfloat16=False)
    monkeypatch.setitem(pretrain.SHAPES, "planted-1m", tiny)
    for folder in ("one", "two"):
        monkeypatch.setattr("sys.argv", ["pretrain", "--model", "planted-1m", "--out", str(tmp_path / folder)])
        try:
            pretrain.main()
        finally:
            torch.use_deterministic_algorithms(False)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "MODEL_CARD.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_base_models_do_not_answer_questions(model, tokenizer, one_thread):
    assert _exact_match(model, tokenizer, per_skill=4) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_more_examples_teach_more(name, one_thread):
    """Accuracy rises from the base model to 10 % of the rows to all rows, and all rows do not reach the ceiling."""
    pool = PlantedPool(size=4000).load().pool
    tokenizer = load_tokenizer(_ref(name))
    few, all_rows = (_exact_match(_tuned(name, rows), tokenizer, per_skill=15) for rows in (pool[:400], pool))
    assert 0.03 < few < all_rows - 0.1
    assert all_rows < 0.9


def _tuned(name, rows):
    """The model after plain fine-tuning on the rows for 3 epochs."""
    torch.manual_seed(0)
    network, tokenizer = load_model(_ref(name), device="cpu").train(), load_tokenizer(_ref(name))
    encoded = encode(rows, tokenizer, max_length=128)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.0)
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(len(encoded))
        for start in range(0, len(order), 8):
            batch = [encoded[i] for i in order[start : start + 8]]
            width = max(len(row.ids) for row in batch)
            ids, labels = np.full((2, len(batch), width), tokenizer.pad_token_id)
            labels[:] = -100
            for i, row in enumerate(batch):
                ids[i, : len(row.ids)], labels[i, : len(row.ids)] = row.ids, np.where(row.in_loss, row.ids, -100)
            ids = torch.from_numpy(ids)
            mask = (ids != tokenizer.pad_token_id).long()
            network(input_ids=ids, attention_mask=mask, labels=torch.from_numpy(labels)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return network.eval()


def _exact_match(network, tokenizer, per_skill) -> float:
    rows = [row for skill in skills().values() for row in held_out_items(skill)[:per_skill]]
    prompts = [render_prompt(Example(row["id"], row["question"], "-"), tokenizer) for row in rows]
    batch = tokenizer(prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
    out = network.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=False,
        max_new_tokens=ANSWER_TOKENS,
    )
    answers = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return float(np.mean([answer == row["answer"] for answer, row in zip(answers, rows)]))
