"""Losses, compared with the naive way: one text at a time, the whole model, torch's cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny_models import FAMILIES, make_model, make_pool, make_tokenizer

from selbench.api import Context, Example, ModelRef, Pool
from selbench.errors import UserError
from selbench.features import extractor, head
from selbench.features.activations import ActivationTags
from selbench.features.extractor import compute_many
from selbench.features.losses import ResponseLosses, mean_loss
from selbench.models import load_model


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("llama"))


def token_losses(ref: ModelRef, ids: list[int]) -> np.ndarray:
    """The loss of each token but the first, from the model as transformers runs it."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ref.path, dtype=torch.float32).eval()
    if len(ids) < 2:
        return np.zeros(0)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none").numpy()


def ids_of(text: str) -> list[int]:
    return make_tokenizer()(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_against_the_whole_model(family, tmp_path, monkeypatch):
    monkeypatch.setattr("selbench.models.load_tokenizer", lambda ref: make_tokenizer())
    monkeypatch.setattr(head, "ROWS", 64 * 7)  # several chunks of logits per batch
    ref = make_model(tmp_path, family)
    pool = Pool([Example("a", "add the numbers", "one two"), Example("b", "name", "river tree red"), *make_pool(9)])
    found = ResponseLosses().compute(pool, Context(pool, scorer=ref))
    for row, text in enumerate(["add the numbers", "name"]):
        answer = pool[row].response
        ids = ids_of(f"<s> [user] {text} [assistant] {answer} </s>")
        losses = token_losses(ref, ids)
        count = len(answer.split())
        assert found["whole_loss"][row] == pytest.approx(losses.sum(), rel=1e-5)
        assert found["whole_tokens"][row] == len(ids) - 1
        assert found["response_loss"][row] == pytest.approx(losses[-count - 1 : -1].sum(), rel=1e-5)
        assert found["response_tokens"][row] == count


# What the scorer reads of "name a river" -> "red tree", and how many tokens of it are no response.
TEXTS = {
    ("conversation", "scorer"): ("<s> [user] name a river [assistant] red tree </s>", 3),
    ("marked_response", "scorer"): ("<s> [assistant] red tree", 2),
    ("response", "scorer"): ("<s> red tree", 2),
    ("conversation", "none"): ("name a river red tree", 2),
    ("marked_response", "none"): ("red tree", 1),  # no template puts anything before an answer
    ("response", "none"): ("red tree", 1),
}


@pytest.mark.parametrize("text, template", TEXTS)
def test_each_text_is_the_one_that_its_name_says(text, template, scorer):
    pool = Pool([Example("a", "name a river", "red tree")])
    found = ResponseLosses(text, template).compute(pool, Context(pool, scorer=scorer))
    read, counted = TEXTS[text, template]
    losses = token_losses(scorer, ids_of(read))
    assert found["whole_loss"][0] == pytest.approx(losses.sum(), rel=1e-5)
    if text == "conversation":
        assert found["response_tokens"][0] == 2
        assert found["response_loss"][0] == pytest.approx(
            (losses[-3:-1] if counted == 3 else losses[-2:]).sum(), rel=1e-5
        )
    else:
        assert found["response_tokens"][0] == counted
        assert found["response_loss"][0] == pytest.approx(losses[-counted:].sum(), rel=1e-5)


def test_an_input_is_a_line_of_its_own_and_the_last_turn_counts(scorer):
    pool = Pool(
        [
            Example("input", "name", "red", input="a tree"),
            Example("history", "say", "green blue", history=(("name", "river river river"),)),
        ]
    )
    found = ResponseLosses(template="none").compute(pool, Context(pool, scorer=scorer))
    losses = token_losses(scorer, ids_of("name a tree red"))
    assert found["response_loss"][0] == pytest.approx(losses[-1], rel=1e-5)
    losses = token_losses(scorer, ids_of("name river river river say green blue"))
    assert found["response_tokens"].tolist() == [1, 2]
    assert found["response_loss"][1] == pytest.approx(losses[-2:].sum(), rel=1e-5)


def test_a_response_of_one_token_that_nothing_stands_before_has_no_loss(scorer):
    pool = Pool([Example("one", "name", "red"), Example("none", "name", ""), Example("two", "name", "red blue")])
    context = Context(pool, scorer=scorer)
    alone = ResponseLosses("response", "none").compute(pool, context)
    assert alone["response_tokens"].tolist() == [0, 0, 1]
    assert np.isnan(mean_loss(alone)).tolist() == [True, True, False]
    marked = ResponseLosses("marked_response").compute(pool, context)
    assert marked["response_tokens"].tolist() == [1, 0, 2]


def test_a_scorer_without_bos_reads_the_response_after_the_marker_alone(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.bos_token = None
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ bos_token }}", "")
    ref = make_model(tmp_path, tokenizer=tokenizer)
    pool = Pool([Example("a", "name a river", "red tree")])
    marked = ResponseLosses("marked_response").compute(pool, Context(pool, scorer=ref))
    assert marked["response_loss"][0] == pytest.approx(
        token_losses(ref, ids_of("[assistant] red tree")).sum(), rel=1e-5
    )
    bare = ResponseLosses("response").compute(pool, Context(pool, scorer=ref))
    assert bare["response_tokens"].tolist() == [1]


def test_cut_responses_are_named_and_an_end_token_that_is_cut_is_none(scorer):
    pool = Pool([Example(f"{n}", "name", "red " * n) for n in (1, 2, 3, 4)])
    found = ResponseLosses(max_length=7).compute(pool, Context(pool, scorer=scorer))
    # <s> [user] name [assistant], the response and </s>: 6, 7, 8 and 9 tokens.
    assert found["cut"].tolist() == [False, False, False, True]
    assert found["response_tokens"].tolist() == [1, 2, 3, 3]
    alone = ResponseLosses("marked_response", max_length=5).compute(pool, Context(pool, scorer=scorer))
    assert alone["cut"].tolist() == [False, False, False, True]  # <s> [assistant] and the response


@pytest.mark.parametrize(
    "spec", [ResponseLosses(), ResponseLosses("marked_response"), ResponseLosses("response", "none")]
)
def test_batches_change_no_loss_and_shards_no_bit(spec, scorer, monkeypatch):
    pool = make_pool(60, seed=2)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 64)
    batched = spec.compute(pool, Context(pool, scorer=scorer))
    shards = [spec.compute_shard(pool, Context(pool, scorer=scorer), shard, 3) for shard in range(3)]
    merged = spec.merge_shards([one for one in shards if len(one["examples"])], pool, Context(pool, scorer=scorer))
    assert merged.keys() == batched.keys() and all(np.array_equal(merged[name], batched[name]) for name in batched)
    assert all(merged[name].dtype == batched[name].dtype for name in batched)
    monkeypatch.setattr(extractor, "batch_tokens", lambda model: 1)
    single = spec.compute(pool, Context(pool, scorer=scorer))
    for name in ("response_loss", "whole_loss"):
        np.testing.assert_allclose(batched[name], single[name], rtol=1e-5)


def test_losses_and_tags_share_a_pass_without_changing_a_bit(scorer, monkeypatch):
    pool, passes = make_pool(30, seed=3), []
    read = extractor.read_activations
    monkeypatch.setattr(extractor, "read_activations", lambda *given: passes.append(given) or read(*given))
    specs = [ResponseLosses(), ActivationTags(response=True, level=0.05)]
    together = compute_many(specs, pool, Context(pool, scorer=scorer))
    assert len(passes) == 1
    for spec, found in zip(specs, together):
        alone = spec.compute(pool, Context(pool, scorer=scorer))
        assert all(np.array_equal(alone[name], found[name]) for name in alone)


def test_the_operations_of_the_head_are_counted(scorer):
    pool = Pool([Example("a", "name a river", "red tree")])
    context, tags = Context(pool, scorer=scorer), Context(pool, scorer=scorer)
    ResponseLosses().compute(pool, context)
    ActivationTags(response=True).compute(pool, tags)
    model = load_model(scorer)
    assert context.logged["flops"] - tags.logged["flops"] == 2 * model.lm_head.weight.numel() * 9


@pytest.mark.parametrize("options", [{"text": "prompt"}, {"template": "alpaca"}, {"max_length": 0}])
def test_options_that_are_not_valid_are_named(options):
    with pytest.raises(UserError, match=str(next(iter(options)))):
        ResponseLosses(**options)


def test_a_response_by_itself_has_the_tokens_that_it_has_by_itself(tmp_path):
    """Of a tokenizer that merges across the border, as of a line break and a letter: the official codes tokenise each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<unk>", *letters, ":r", ":red"[1:3]])}
    tokenizer = Tokenizer(models.BPE(words, [(":", "r"), ("r", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<unk>")
    fast.chat_template = "{% for m in messages %}{{ m.content }}:{% endfor %}"
    ref = make_model(tmp_path, tokenizer=fast, vocab_size=300)
    pool = Pool([Example("a", "name", "red")])
    alone = ResponseLosses("response").compute(pool, Context(pool, scorer=ref))
    assert alone["response_tokens"].tolist() == [1]  # re, d: the first is not predicted
    together = fast("name:red:")["input_ids"]
    assert fast.convert_ids_to_tokens(together)[4:] == [":r", "e", "d", ":"]
