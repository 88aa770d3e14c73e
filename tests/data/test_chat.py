"""Encoding: the roles of the tokens mark exactly the prompt and the response, whatever the tokenizer and template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selbench.api import Example, ModelRef
from selbench.data.chat import END, PROMPT, RESPONSE, TEMPLATE, count_response_tokens, encode, messages, render_prompt

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Words that every tokenizer here can spell, so that decoding gives the very text back.
PLAIN = Example("1", "Tell me a story about a dog.", "Once upon a time, there was a dog named Max.")
WITH_INPUT = Example("2", "Say who is happy in the story.", "Lily is happy.", input="Lily had a ball. She was happy.")
CHAT = Example(
    "3",
    "And then?",
    "They went home.",
    system="You are kind.",
    history=(("What did Tom do?", "Tom ran to the park."), ("Was it big?", "Yes, it was very big.")),
)
EXAMPLES = [PLAIN, WITH_INPUT, CHAT]


def _tiny() -> Any:
    """A byte-level BPE with a ChatML template, as many instruct models have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([example.text for example in EXAMPLES], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = CHATML
    return fast


@pytest.fixture(
    scope="module", params=["chatml", "stories-260k", "stories-260k plain", "tinystories-656k", "stories-0.9m-char"]
)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    if request.param == "chatml":
        return _tiny()
    from selbench.models import load_tokenizer

    name, _, template = request.param.partition(" ")
    folder: Path = request.getfixturevalue("shared_data") / "models" / name
    if not folder.is_dir():
        pytest.skip(f"no model at {folder}")
    return load_tokenizer(ModelRef(name=name, path=str(folder), template=template or "alpaca"))


def spelt(tokenizer: Any, encoded: Any, role: int) -> list[str]:
    """The text of every unbroken run of tokens with this role."""
    runs, current = [], []
    for token, its in zip(encoded.ids, encoded.roles):
        if its == role:
            current.append(int(token))
        elif current:
            runs.append(current)
            current = []
    runs += [current] if current else []
    return [tokenizer.decode(run, clean_up_tokenization_spaces=False).strip() for run in runs]


def test_roles_spell_the_prompt_and_the_response(tokenizer: Any) -> None:
    plain, with_input, chat = encode(EXAMPLES, tokenizer, max_length=2000)
    assert spelt(tokenizer, plain, RESPONSE) == [PLAIN.response]
    assert spelt(tokenizer, plain, PROMPT) == [PLAIN.instruction]
    assert spelt(tokenizer, with_input, RESPONSE) == [WITH_INPUT.response]
    assert "".join(spelt(tokenizer, with_input, PROMPT)).replace("\n", "") == (
        WITH_INPUT.instruction + WITH_INPUT.input
    )
    assert spelt(tokenizer, chat, RESPONSE) == ["Tom ran to the park.", "Yes, it was very big.", "They went home."]
    assert spelt(tokenizer, chat, PROMPT) == ["You are kind.", "What did Tom do?", "Was it big?", "And then?"]


def test_the_tokens_are_those_of_the_rendered_text(tokenizer: Any) -> None:
    if not tokenizer.decode(tokenizer("#", add_special_tokens=False)["input_ids"]).strip():
        pytest.skip("this tokenizer drops '#', so its offsets slip and the stretches are encoded one by one")
    for example, encoded in zip(EXAMPLES, encode(EXAMPLES, tokenizer, max_length=2000)):
        whole = tokenizer.apply_chat_template(messages(example), tokenize=False)
        assert encoded.ids.tolist() == tokenizer(whole, add_special_tokens=False)["input_ids"]
        assert len(encoded.ids) == len(encoded.roles)
        assert not encoded.truncated


def test_what_closes_a_response_is_in_the_loss(tokenizer: Any) -> None:
    for example, encoded in zip(EXAMPLES, encode(EXAMPLES, tokenizer, max_length=2000)):
        ends = np.flatnonzero(encoded.roles == END)
        assert (encoded.ids[ends] == tokenizer.eos_token_id).sum() == 1 + len(example.history)
        assert encoded.in_loss[ends].all()
        np.testing.assert_array_equal(encoded.in_loss, (encoded.roles == RESPONSE) | (encoded.roles == END))
        assert encoded.roles[0] == TEMPLATE


def test_without_the_response_the_text_ends_with_the_generation_prompt(tokenizer: Any) -> None:
    whole = encode(EXAMPLES, tokenizer, max_length=2000)
    for example, prompt, full in zip(EXAMPLES, encode(EXAMPLES, tokenizer, max_length=2000, response=False), whole):
        assert prompt.roles[-1] == TEMPLATE
        assert len(spelt(tokenizer, prompt, RESPONSE)) == len(example.history)
        assert spelt(tokenizer, prompt, PROMPT) == spelt(tokenizer, full, PROMPT)
        asks = (
            "### Response:",
            "<|im_start|>assistant",
            example.question.strip(),
        )  # the last: plain says nothing after it
        assert render_prompt(example, tokenizer).rstrip().endswith(asks)


def test_truncation_cuts_on_the_right(tokenizer: Any) -> None:
    (full,) = encode([CHAT], tokenizer, max_length=2000)
    (cut,) = encode([CHAT], tokenizer, max_length=20)
    assert cut.truncated
    np.testing.assert_array_equal(cut.ids, full.ids[:20])
    np.testing.assert_array_equal(cut.roles, full.roles[:20])
    (exact,) = encode([CHAT], tokenizer, max_length=len(full.ids))
    assert not exact.truncated


def test_one_example_is_encoded_as_in_a_batch(tokenizer: Any) -> None:
    together = encode(EXAMPLES, tokenizer, max_length=2000)
    for example, encoded in zip(EXAMPLES, together):
        (alone,) = encode([example], tokenizer, max_length=2000)
        np.testing.assert_array_equal(alone.ids, encoded.ids)
        np.testing.assert_array_equal(alone.roles, encoded.roles)
    assert encode([], tokenizer, max_length=10) == []


def test_response_tokens_are_counted_over_all_turns(tokenizer: Any) -> None:
    counts = count_response_tokens(EXAMPLES, tokenizer)
    answers = [answer for _, answer in CHAT.history] + [CHAT.response]
    expected = sum(len(tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in answers)
    assert counts[2] == expected
    assert (counts > 0).all()


def test_a_response_that_repeats_the_prompt_is_found_where_it_stands(tokenizer: Any) -> None:
    echo = Example("4", "Max ran home.", "Max ran home.")
    (encoded,) = encode([echo], tokenizer, max_length=2000)
    assert spelt(tokenizer, encoded, PROMPT) == spelt(tokenizer, encoded, RESPONSE) == ["Max ran home."]
    assert np.flatnonzero(encoded.roles == PROMPT).max() < np.flatnonzero(encoded.roles == RESPONSE).min()


def test_messages_keep_instruction_and_input_apart() -> None:
    assert [turn["role"] for turn in messages(CHAT)] == ["system"] + ["user", "assistant"] * 3
    user = messages(WITH_INPUT)[0]
    assert user["content"] == f"{WITH_INPUT.instruction}\n\n{WITH_INPUT.input}"
    assert (user["instruction"], user["input"]) == (WITH_INPUT.instruction, WITH_INPUT.input)
