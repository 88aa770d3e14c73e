"""Ratings of a judge, compared with the naive way: one prompt at a time, the whole model's logits after it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny_models import TEMPLATE, make_byte_tokenizer, make_model, make_pool, make_tokenizer

from selbench.api import Context, Example, ModelRef, Pool
from selbench.errors import UserError
from selbench.features import extractor
from selbench.features.ratings import DigitLogits, digit_shares, expected_digit, judge_problem

PROMPT = "Rate {question} as answered by {response}.\nScore: "
SPEC = DigitLogits(PROMPT, 1, 5)


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> ModelRef:
    ref = make_model(
        tmp_path_factory.mktemp("judge"), tokenizer=make_byte_tokenizer(), vocab_size=300, max_position_embeddings=256
    )
    ref.max_length = 200
    return ref


def logits_after(ref: ModelRef, text: str) -> np.ndarray:
    """The logits of the digits 1 to 5 after a text, from the model as transformers runs it."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ref.path, dtype=torch.float32).eval()
    tokenizer = make_byte_tokenizer()
    digits = [tokenizer(str(digit))["input_ids"][0] for digit in range(1, 6)]
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]
    return logits[digits].numpy()


POOL = Pool(
    [
        Example("plain", "name a river", "red"),
        Example("input", "name", "blue", input="a tree"),
        Example("braces", "say {response}", "{question}"),  # what an example says is no part of the prompt
        Example("turns", "and then", "two", history=(("first", "one"),)),
    ]
)


def test_the_logits_are_those_after_the_prompt(judge):
    found = SPEC.compute(POOL, Context(POOL, scorer=judge))
    asked = [("name a river", "red"), ("name\n\na tree", "blue"), ("say {response}", "{question}"), ("and then", "two")]
    for row, (question, response) in enumerate(asked):
        expected = logits_after(judge, f"Rate {question} as answered by {response}.\nScore: ")
        np.testing.assert_allclose(found["logits"][row], expected, rtol=1e-4, atol=1e-5)
    assert found["indptr"].tolist() == [0, 1, 2, 3, 4]


def test_every_turn_is_rated_where_that_is_asked_for(judge):
    found = DigitLogits(PROMPT, 1, 5, every_turn=True).compute(POOL, Context(POOL, scorer=judge))
    assert found["indptr"].tolist() == [0, 1, 2, 3, 5]
    expected = logits_after(judge, "Rate first as answered by one.\nScore: ")
    np.testing.assert_allclose(found["logits"][3], expected, rtol=1e-4, atol=1e-5)
    assert not DigitLogits(PROMPT, 1, 5, every_turn=True).divisible and SPEC.divisible


def test_a_tuned_judge_is_asked_in_its_template(judge):
    found = DigitLogits("Rate {response}: ", 1, 5, chat=True).compute(POOL, Context(POOL, scorer=judge))
    assert "[assistant]" in TEMPLATE
    expected = logits_after(judge, "<s>[user] Rate red:  [assistant]")
    np.testing.assert_allclose(found["logits"][0], expected, rtol=1e-4, atol=1e-5)


def test_a_prompt_that_does_not_fit_is_not_rated(judge):
    pool = Pool([Example("long", "name " * 50, "red"), Example("short", "name", "red")])
    found = SPEC.compute(pool, Context(pool, scorer=judge))
    assert np.isnan(found["logits"]).all(axis=1).tolist() == [True, False]


def test_batches_change_no_logit_and_shards_no_bit(judge, monkeypatch):
    pool = make_pool(40, seed=1)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 400)
    batched = SPEC.compute(pool, Context(pool, scorer=judge))
    shards = [SPEC.compute_shard(pool, Context(pool, scorer=judge), shard, 3) for shard in range(3)]
    merged = SPEC.merge_shards([one for one in shards if len(one["examples"])], pool, Context(pool, scorer=judge))
    assert all(np.array_equal(merged[name], batched[name], equal_nan=True) for name in batched)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 1)
    single = SPEC.compute(pool, Context(pool, scorer=judge))
    np.testing.assert_allclose(batched["logits"], single["logits"], rtol=1e-4, atol=1e-5)


def merging_tokenizer():
    """A tokenizer of bytes that has ` 1` to ` 9`, a blank and a digit, as tokens of their own, as GPT-2's has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", str(digit)) for digit in range(10)]
    words = ["<unk>", "<s>", "</s>", *letters, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_a_digit_that_takes_the_blank_before_it_is_asked_for_before_the_blank(judge):
    tokenizer = merging_tokenizer()
    kind = SPEC.text_kind
    assert tokenizer.convert_ids_to_tokens(kind.answers(tokenizer)) == [f"Ġ{digit}" for digit in range(1, 6)]
    texts = kind.encode(Pool([Example("a", "x", "y")]), tokenizer, 100, Context())
    assert tokenizer.decode(texts.distinct[0].ids) == "Rate x as answered by y.\nScore:"


def test_a_tokenizer_without_digits_is_refused_and_one_that_does_not_know_the_words(judge, tmp_path):
    words = make_model(tmp_path / "words", tokenizer=make_tokenizer())
    with pytest.raises(UserError, match="does not write the digits 1 to 5 as a token each"):
        SPEC.compute(POOL, Context(POOL, scorer=words))
    assert "knows only" in judge_problem(SPEC, words)
    known = DigitLogits("add the numbers {question} a tree name river", 1, 5)
    assert "does not write the digits 1 to 5" in judge_problem(known, words)
    assert judge_problem(SPEC, judge) == ""


def test_expected_digits_by_hand():
    logits = np.log([[0.02, 0.03, 0.05, 0.30, 0.10], [0.2, 0.2, 0.2, 0.2, 0.2]])
    np.testing.assert_allclose(digit_shares(logits)[0], [0.04, 0.06, 0.1, 0.6, 0.2])
    # 0.04 + 2 * 0.06 + 3 * 0.1 + 4 * 0.6 + 5 * 0.2
    np.testing.assert_allclose(expected_digit(logits, 1), [3.86, 3.0])
    np.testing.assert_allclose(expected_digit(logits, 0), [2.86, 2.0])
    assert np.isnan(expected_digit(np.full((1, 5), np.nan), 1)).all()


@pytest.mark.parametrize("options", [{"lowest": 5}, {"highest": 10}, {"prompt": "Rate it."}])
def test_options_that_are_not_valid_are_refused(options):
    with pytest.raises(UserError):
        DigitLogits(**{"prompt": PROMPT, "lowest": 1, "highest": 5, **options})
