"""What a training context cuts and drops is measured for every trainer, and agrees with what our own trainer counts."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool
from selbench_plugins.trainers.trl import Trl

from selbench.api import Context, Example, ModelRef, Pool, UserError
from selbench.models import (
    TrainingContext,
    light_tokenizer,
    load_tokenizer,
    plain_is_shorter,
    positions,
    training_context,
)
from selbench.run.training_lengths import measured_lengths
from selbench.store.facts import TrainingFacts

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon"]
CHAT = Example(
    id="chat",
    system="be short",
    history=(("first question here", "first answer"), ("second", "second answer " * 4)),
    instruction="third",
    response="last answer",
)
EXAMPLES = [
    *(Example(id=word, instruction="say", response=f"{word} " * (3 * i)) for i, word in enumerate(WORDS)),
    Example(id="long prompt", instruction="word " * 90, response="never seen"),
    Example(id="long response", instruction="say", input="this", response="word " * 90),
    CHAT,
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("longest", [8, 20, 30, 40, 48])
def test_the_measured_facts_are_what_our_trainer_counts(tiny: ModelRef, longest: int) -> None:
    pool, context = Pool(EXAMPLES), training_context(tiny, longest)
    facts = measured_lengths(pool, load_tokenizer(tiny)).facts(np.arange(len(pool)), context)
    trained = Context()
    if facts.dropped == len(pool):
        with pytest.raises(UserError, match=r"template .*: nothing to train on; .*raise trainer.max_length"):
            Trl(max_length=longest, epochs=1).train(EXAMPLES, tiny, trained)
        assert trained.logged["truncated_examples"] == facts.cut == len(pool)
        return
    Trl(max_length=longest, epochs=2).train(EXAMPLES, tiny, trained)
    assert facts.cut and facts.dropped is not None and facts.selected == len(EXAMPLES)
    assert trained.logged["truncated_examples"] == facts.cut
    assert trained.logged["dropped_examples"] == facts.dropped
    assert trained.logged["trained_examples"] == facts.trained == len(EXAMPLES) - facts.dropped
    assert trained.logged["response_tokens_seen"] == 2 * facts.response_tokens_kept
    after = facts.with_log(trained.logged)
    assert after.response_tokens_trained == 2 * facts.response_tokens_kept and not after.contradicted
    assert after.lost == pytest.approx(1 - facts.response_tokens_kept / facts.response_tokens)


def test_a_context_that_holds_everything_loses_nothing(tiny: ModelRef) -> None:
    pool = Pool(EXAMPLES)
    facts = measured_lengths(pool, load_tokenizer(tiny)).facts(np.arange(len(pool)), TrainingContext(10**6, "x"))
    assert (facts.cut, facts.dropped, facts.lost, facts.losses) == (0, 0, 0.0, "")
    assert not facts.loses_much


def test_a_training_that_ends_within_an_epoch_trains_on_fewer(tiny: ModelRef) -> None:
    context = Context()
    Trl(match="steps", steps=1, batch_size=2).train(make_pool(10), tiny, context)
    assert context.logged["trained_examples"] == 2


def test_one_owner_of_the_training_context(tiny: ModelRef) -> None:
    assert training_context(tiny) == TrainingContext(48, "model.max_length", positions(tiny))
    assert training_context(tiny, 20) == TrainingContext(20, "trainer.max_length", 48)
    with pytest.raises(UserError, match=r"trainer.max_length=49 is above model.max_length=48.*may only lower it"):
        training_context(tiny, 49)
    with pytest.raises(UserError, match="at least 1"):
        training_context(tiny, 0)
    far = ModelRef(tiny.name, tiny.path, max_length=10**6)
    assert training_context(far).tokens == positions(tiny) < 10**6
    assert "max_length" not in training_context(far).advice(True)  # which would not help
    assert positions(ModelRef("none", "nobody/nothing")) is None
    assert positions(ModelRef("none", "no/folder/and no name on the hub")) is None


def test_the_advice_names_what_is_accepted_and_helps(tiny: ModelRef) -> None:
    most = positions(tiny)
    assert most is not None
    assert training_context(tiny).advice(False) == f"raise model.max_length (at most {most} tokens help)"
    lower = training_context(tiny, 20).advice(True)
    assert lower.endswith("or raise trainer.max_length (at most 48 tokens help)") and "model.template=plain" in lower
    assert training_context(tiny, 48).limit == "model.max_length"  # what the advice leads to is accepted
    far = ModelRef(tiny.name, tiny.path, max_length=10**6)
    assert training_context(far).advice(False) == "use a model with more positions"
    assert training_context(far, most + 1).advice(False) == "use a model with more positions"
    with pytest.raises(UserError, match=f"has {most} positions; leave trainer.max_length out"):
        training_context(tiny, most + 1)  # max_length={most + 1} of the model would be accepted, and change nothing


def test_another_template_is_advised_only_where_it_is_shorter(tiny: ModelRef) -> None:
    for template, shorter in (("alpaca", True), ("plain", False)):
        ref = ModelRef(tiny.name, tiny.path, template=template)
        light = light_tokenizer(ref)
        assert light is not None
        assert [plain_is_shorter(tokenizer) for tokenizer in (light, load_tokenizer(ref))] == [shorter, shorter]
    terse = load_tokenizer(tiny)
    terse.chat_template = "{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}>{% endif %}{% endfor %}"
    before = terse.chat_template
    assert not plain_is_shorter(terse) and terse.chat_template == before


def test_a_trainer_that_counts_otherwise_is_contradicted() -> None:
    measured = TrainingFacts(context=10, limit="model.max_length", selected=5, trained=5, cut=0, dropped=0)
    after = measured.with_log({"dropped_examples": 3.0, "truncated_examples": 0.0})
    assert after.contradicted == {"dropped": 3}
    assert after.contradiction == "the trainer counts 3 dropped examples, where 0 are measured."
    assert not measured.with_log({}).contradiction and measured.with_log({}).response_tokens_trained is None


@pytest.mark.parametrize("template", ["auto", "alpaca", "plain"])
def test_a_plan_reads_a_tokenizer_as_the_run_does(tiny: ModelRef, template: str) -> None:
    ref, pool = ModelRef(tiny.name, tiny.path, template=template), Pool(EXAMPLES)
    light = light_tokenizer(ref)
    assert light is not None
    found, wanted = measured_lengths(pool, light), measured_lengths(pool, load_tokenizer(ref))
    assert found.tokens.tolist() == wanted.tokens.tolist() and found.runs.tolist() == wanted.runs.tolist()
