"""Texts that a scorer cannot read to their end are found, whatever part of them is read."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from helpers.tiny_models import make_model
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.mads import Mads

from selbench.api import Budget, Context, Example, ModelRef, Pool
from selbench.errors import UserError
from selbench.features.cut import CutTexts, cut_examples, reads_an_end

# Of whole words; the template adds BOS, two marks of roles and the end token. The model has positions for 64 tokens.
LONG_PROMPT = Example("prompt", "add " * 70, "one")
LONG_RESPONSE = Example("response", "add", "one " * 70)
FITS = Example("fits", "add the numbers", "one " * 57)
POOL = Pool([LONG_PROMPT, LONG_RESPONSE, FITS])


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return dataclasses.replace(make_model(tmp_path_factory.mktemp("cut")), max_length=100)


@pytest.mark.parametrize(
    ("positions", "response", "expected"),
    [
        ("every", True, [True, True, False]),
        ("last", True, [True, True, False]),
        ("all", True, [True, True, False]),
        ("response", True, [True, True, False]),
        ("prompt", True, [True, False, False]),
        ("prompt", False, [True, False, False]),
        ("every", False, [True, False, False]),
    ],
)
def test_what_is_lost_depends_on_the_positions(
    scorer: ModelRef, positions: str, response: bool, expected: list[bool]
) -> None:
    found = Context(POOL, scorer=scorer).features(CutTexts(positions, response))  # type: ignore[arg-type]
    assert found["cut"].tolist() == expected
    assert int(found["limit"]) == 64  # the model's positions, below max_length


def test_a_text_of_exactly_the_limit_is_whole(scorer: ModelRef) -> None:
    pool = Pool([Example("62", "add", f"{'one ' * 58}two"), Example("65", "add", f"{'one ' * 60}two")])
    assert Context(pool, scorer=scorer).features(CutTexts())["cut"].tolist() == [False, True]


def test_only_poolings_of_an_end_ask() -> None:
    assert reads_an_end("last", "mean") and reads_an_end("every", "last") and reads_an_end("all", "last_minus_first")
    assert not reads_an_end("every", "mean") and not reads_an_end("all", "mean_minus_first")
    with pytest.raises(UserError, match="unknown positions 'ends'"):
        CutTexts("ends")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "cut"),
    [
        (Mads(positions="last", pooling="last", response=True, rho=0.2), 2),
        (Mads(positions="prompt", pooling="last", rho=0.2), 1),
        (Mads(rho=0.2), None),
        (KCenter(space="hidden", pooling="last", first="0"), 1),
        (KCenter(space="hidden", first="0"), None),
        (KCenter(encoder="tfidf", first="0"), None),
    ],
    ids=repr,
)
def test_selectors_that_read_an_end_say_how_many_are_cut(
    scorer: ModelRef, caplog: pytest.LogCaptureFixture, method: Mads | KCenter, cut: int | None
) -> None:
    context = Context(POOL, scorer=scorer)
    with caplog.at_level(logging.WARNING, "selbench"):
        method.select(POOL, Budget.of(POOL, 2), context)
    assert context.logged.get("cut_examples") == cut
    assert (f"{cut} of 3 examples" in caplog.text) == (cut is not None)


def test_few_cut_texts_are_counted_without_a_warning(scorer: ModelRef, caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool([LONG_RESPONSE, *(Example(str(i), f"add {i}", "one") for i in range(19))])  # 5 %
    context = Context(pool, scorer=scorer)
    with caplog.at_level(logging.WARNING, "selbench"):
        assert np.flatnonzero(cut_examples(pool, "every", "last", True, context)).tolist() == [0]
    assert context.logged["cut_examples"] == 1
    assert not caplog.text
