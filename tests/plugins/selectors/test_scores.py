"""Methods that rank by a score: their formulas by hand, what they leave out, and where scores come from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.tiny_models import make_byte_tokenizer, make_model
from selbench_plugins.selectors._loss_ratio import loss_ratio, perplexity_ratio
from selbench_plugins.selectors.alpagasus import Alpagasus
from selbench_plugins.selectors.deita import COMPLEXITY, QUALITY, Deita
from selbench_plugins.selectors.ifd import Ifd
from selbench_plugins.selectors.perplexity import Perplexity, middle_out
from selbench_plugins.selectors.selectit import SelectIt, sentence_score, token_score
from selbench_plugins.selectors.superfilter import Superfilter

from selbench.api import Budget, Context, Example, ModelRef, Pool, Selection
from selbench.errors import UserError
from selbench.features.losses import ResponseLosses
from selbench.features.ratings import DigitLogits

POOL = Pool([Example(f"e{i}", f"name {i}", "red") for i in range(6)])


def chosen(method, amount, pool=POOL, unit="examples", tokens=None, **given) -> tuple[Selection, Context]:
    context = Context(pool, **given)
    return method.select(pool, Budget.of(pool, amount, unit, tokens), context), context


def losses(conditioned, direct, cut=None, tokens=None):
    """A store of features that has these mean losses, as ResponseLosses gives them."""
    count = np.array(tokens or [2] * len(conditioned))

    def give(spec, pool, context):
        mean = conditioned if spec.text == "conversation" else direct
        response = count if spec.text == "conversation" else np.where(np.isnan(mean), 0, count)
        return {
            "response_loss": np.nan_to_num(np.array(mean)) * response,
            "response_tokens": response,
            "whole_loss": np.nan_to_num(np.array(mean)) * 10,
            "whole_tokens": np.full(len(mean), 10),
            "cut": np.array(cut or [False] * len(mean)),
        }

    return give


def test_ratios_by_hand():
    conditioned, direct = np.array([1.2]), np.array([1.5])
    assert loss_ratio(conditioned, direct)[0] == pytest.approx(0.8)
    assert perplexity_ratio(conditioned, direct)[0] == pytest.approx(0.7408, abs=5e-5)


def test_ifd_keeps_a_ratio_of_one_and_superfilter_does_not():
    # Ratios of losses: 0.8, 1, 1.5, 0.9, 0.5, 0.2; of perplexities exp of the differences -0.3, 0, 1, -0.4, -0.1, -4.
    store = losses([1.2, 1.0, 3.0, 3.6, 0.1, 1.0], [1.5, 1.0, 2.0, 4.0, 0.2, 5.0])
    found, context = chosen(Ifd(), 6, feature_store=store)
    assert found.ids == ("e1", "e3", "e0", "e4", "e5")
    np.testing.assert_allclose(found.scores, [1, 0.9, 0.8, 0.5, 0.2])
    np.testing.assert_allclose(found.diagnostics["margin"][:4], [0.1, 0.1, 0.3, 0.3])
    assert context.logged["left_out_ratio_above_1"] == 1
    found, context = chosen(Superfilter(), 6, feature_store=store)
    assert found.ids == ("e4", "e0", "e3", "e5")
    np.testing.assert_allclose(found.scores, np.exp([-0.1, -0.3, -0.4, -4]))
    assert context.logged["left_out_ratio_not_below_1"] == 2


@pytest.mark.parametrize("method", [Ifd(), Superfilter()])
def test_what_has_no_valid_ratio_is_left_out_and_counted(method):
    nan = float("nan")
    store = losses(
        [1.0, 1.0, nan, 1.0, 0.5, 0.0],
        [2.0, nan, nan, 2.0, 2.0, 0.0],  # e1: one token; e2: none; e5: two losses of 0 have no ratio, or one of 1
        cut=[False, False, False, True, False, False],
        tokens=[2, 1, 0, 2, 2, 2],
    )
    found, context = chosen(method, 6, feature_store=store)
    assert found.ids == ("e0", "e4")
    counted = {name.removeprefix("left_out_"): count for name, count in context.logged.items()}
    assert (
        counted.pop("response_cut") == counted.pop("no_response") == counted.pop("no_loss_of_the_response_alone") == 1
    )
    assert list(counted.values()) == [1]


def test_equal_scores_are_taken_in_the_order_of_the_pool():
    store = losses([1.0] * 6, [2.0] * 6)
    for method in (Ifd(), Superfilter(), Perplexity(), Perplexity("low")):
        assert chosen(method, 3, feature_store=store)[0].ids == ("e0", "e1", "e2")


def test_ifd_and_superfilter_read_what_their_codes_read():
    assert Ifd(max_length=512).needs() == [
        ResponseLosses("conversation", "scorer", 512),
        ResponseLosses("marked_response", "scorer", 512),
    ]
    assert Superfilter().needs() == [
        ResponseLosses("conversation", "none", 1024),
        ResponseLosses("response", "none", 1024),
    ]
    # The losses given the prompt are those that `perplexity` asks for: computed once in a sweep of both.
    assert Ifd().needs()[0] == Perplexity().needs()[0]


@pytest.mark.parametrize("count", range(9))
def test_the_middle_is_the_window_around_the_median_for_every_size(count):
    order = middle_out(count).tolist()
    assert sorted(order) == [*range(count)]
    for size in range(count + 1):
        start = (count - size) // 2
        assert set(order[:size]) == set(range(start, start + size))


def test_perplexity_top_low_and_middle():
    store = losses([3.0, 1.0, 6.0, 2.0, 5.0, 4.0], [0.0] * 6)
    assert chosen(Perplexity(), 2, feature_store=store)[0].ids == ("e2", "e4")
    assert chosen(Perplexity("low"), 2, feature_store=store)[0].ids == ("e1", "e3")
    found, _ = chosen(Perplexity("middle"), 4, feature_store=store)  # losses 2, 3, 4 and 5
    assert set(found.ids) == {"e3", "e0", "e5", "e4"} and "margin" not in found.diagnostics
    tokens = [1, 1, 1, 5, 1, 1]
    found, _ = chosen(Perplexity("middle"), 3, unit="tokens", tokens=tokens, feature_store=store)
    assert set(found.ids) == {"e0", "e5"}  # the next one of the window costs too much


def test_perplexity_of_responses_leaves_out_those_without_a_token():
    nan = float("nan")
    store = losses([1.0, nan, 3.0, 2.0, nan, 4.0], [0.0] * 6, tokens=[2, 0, 2, 2, 0, 2])
    found, context = chosen(Perplexity("middle", "response"), 2, feature_store=store)
    assert set(found.ids) == {"e2", "e3"} and context.logged["left_out_no_token_predicted"] == 2


def test_token_and_sentence_scores_of_selectit_by_hand():
    given = np.array([[0.02, 0.03, 0.05, 0.30, 0.10], [0.02, 0.03, 0.05, 0.10, 0.30]])
    shares = given / given.sum(axis=1, keepdims=True)
    tokens = token_score(shares)
    np.testing.assert_allclose(tokens, [0.45738, 0.57173], atol=5e-6)
    assert sentence_score(tokens[:, None], 0.2)[0] == pytest.approx(0.50874, abs=5e-6)
    # The shares themselves: 0.6 is above the others by 0.56, 0.54, 0.5 and 0.4, on average 0.5, times 4.
    assert token_score(shares, "share")[0] == pytest.approx(2.0)
    # One wording alone: nothing is taken off.
    assert sentence_score(tokens[None], 0.2).tolist() == tokens.tolist()


def crafted(rows):
    """A store of features in which the judge answers every prompt with these probabilities of the digits, one row a turn."""

    def give(spec: DigitLogits, pool, context):
        logits = np.log(np.array(rows(spec) if callable(rows) else rows))
        return {"logits": logits, "indptr": np.array([0, 1, 3]) if len(logits) == 3 else np.arange(len(logits) + 1)}

    return give


TWO = Pool([Example("one", "a", "b"), Example("two", "c", "d", history=(("e", "f"),))])


def test_selectit_on_crafted_logits():
    first, second = (0.02, 0.03, 0.05, 0.30, 0.10), (0.02, 0.03, 0.05, 0.10, 0.30)
    prompts = SelectIt().questions()

    def rows(spec):
        return [first if prompts.index(spec) % 2 else second, first]

    found, _ = chosen(SelectIt(), 2, TWO, feature_store=crafted(rows))
    tokens = np.array([0.57173, 0.45738, 0.57173, 0.45738, 0.57173])
    expected = tokens.mean() / (1 + 0.2 * tokens.std())
    assert found.ids == ("one", "two")
    np.testing.assert_allclose(found.scores, [expected, 0.45738], atol=1e-5)
    found, _ = chosen(SelectIt(level="token"), 2, TWO, feature_store=crafted(rows))
    np.testing.assert_allclose(found.scores, [0.57173, 0.45738], atol=1e-5)
    assert len(SelectIt(level="token").needs()) == 1 and len(SelectIt().needs()) == 5


def test_deita_multiplies_expected_digits_and_sums_over_turns():
    complexity = [[0.5, 0.5, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]  # 1.5; 1 and 3
    quality = [[0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]]  # 6; 2 and 4

    def rows(spec):
        return np.maximum(complexity if spec.prompt == COMPLEXITY else quality, 1e-300)

    found, _ = chosen(Deita(), 2, TWO, feature_store=crafted(rows))
    assert found.ids == ("two", "one")
    np.testing.assert_allclose(found.scores, [1 * 2 + 3 * 4, 9])
    found, _ = chosen(Deita(by="quality"), 2, TWO, feature_store=crafted(rows))
    np.testing.assert_allclose(found.scores, [6, 6])
    assert [spec.prompt for spec in Deita().needs()] == [COMPLEXITY, QUALITY]


def test_alpagasus_keeps_what_is_rated_at_least_4_5():
    rows = [[0, 0, 0, 0, 0.5, 0.5], [0, 0, 0, 0, 0.6, 0.4], [0, 0, 0, 0, 0, 1]]
    pool = Pool([Example(f"e{i}", "a", "b") for i in range(3)])
    store = crafted(np.maximum(rows, 1e-300))
    found, context = chosen(Alpagasus(keep=4.49), 3, pool, feature_store=store)
    assert found.ids == ("e2", "e0") and context.logged["left_out_rated_below_4.49"] == 1
    assert chosen(Alpagasus(rule="top"), 3, pool, feature_store=store)[0].ids == ("e2", "e0", "e1")


def test_an_example_that_the_judge_cannot_read_to_its_end_is_left_out():
    rows = [[0.2] * 5, [np.nan] * 5]
    pool = Pool([Example("one", "a", "b"), Example("two", "c", "d")])
    found, context = chosen(SelectIt(), 2, pool, feature_store=crafted(rows))
    assert found.ids == ("one",) and context.logged["left_out_not_rated"] == 1


def score_file(folder, **columns) -> str:
    path = folder / "ratings.jsonl"
    rows = [{"id": f"e{i}", **{name: values[i] for name, values in columns.items()}} for i in range(6)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"id": "other", **dict.fromkeys(columns, 1)}]))
    return str(path)


def test_scores_from_a_file_need_no_scorer_and_name_the_arm(tmp_path):
    path = score_file(tmp_path, complexity=[1, 2, 3, 4, 5, 6], quality=[6, 5, 4, 3, 2, 1])
    deita = Deita(scores=path)
    assert not deita.uses_scorer and deita.needs() == [] and deita.label() == "deita by ratings"
    found, context = chosen(deita, 3, selector=deita)
    assert found.ids == ("e2", "e3", "e1") and found.scores is not None and found.scores.tolist() == [12, 12, 10]
    assert context.logged["unused_scores"] == 1
    assert chosen(Deita(scores=[path], by="quality"), 1)[0].ids == ("e0",)
    assert chosen(Deita(scores=path, complexity="quality"), 1)[0].ids == ("e0",)
    assert chosen(SelectIt(scores=path, column="quality"), 1)[0].ids == ("e0",)
    assert chosen(Alpagasus(scores=path, column="quality"), 6)[0].ids == ("e0", "e1")


def test_the_key_of_scores_is_their_content(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, two = (score_file(tmp_path / name, score=[1] * 6) for name in "ab")
    assert Alpagasus(scores=one).identity() == Alpagasus(scores=two).identity() == Alpagasus(scores=[one]).identity()
    score_file(tmp_path / "b", score=[2] * 6)
    assert Alpagasus(scores=one).identity() != Alpagasus(scores=two).identity()
    # One selector, one file under the same name, other content: what was read before is not used.
    method = Alpagasus(scores=one, rule="top")
    assert chosen(method, 1)[0].scores.tolist() == [1]
    score_file(tmp_path / "a", score=[3] * 6)
    assert chosen(method, 1)[0].scores.tolist() == [3]


@pytest.mark.parametrize(
    "scores, message",
    [
        ("gone.jsonl", "there is no such file"),
        (["a", "a"], "names a more than once"),
        ([1], "1 is no file"),
        (3, "3 is no file"),
    ],
)
def test_files_that_are_none_are_refused(scores, message):
    with pytest.raises(UserError, match=message):
        Deita(scores=scores).check()


def test_prompts_of_ones_own(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("Rate it.\n\nScore it.\n" + "More.\n" * 9)
    asked = SelectIt(prompts=str(path)).questions()
    assert [spec.prompt.split("\n")[0] for spec in asked] == ["Rate it.", "Score it.", "More.", "More.", "More."]
    before = SelectIt(prompts=str(path)).identity()
    path.write_text("Another.\n")
    assert SelectIt(prompts=str(path)).identity() != before
    path.write_text("\n")
    for wrong, message in ((path, "holds no rating prompt"), (tmp_path / "gone", "cannot be read")):
        with pytest.raises(UserError, match=message):
            SelectIt(prompts=str(wrong)).check()


def test_a_scorer_that_cannot_read_the_prompt_is_refused_with_what_to_give(tmp_path):
    from selbench.testing.subject import default_scorer

    judge = make_model(
        tmp_path / "judge", tokenizer=make_byte_tokenizer(), vocab_size=300, max_position_embeddings=1024
    )
    for method in (SelectIt(), Deita(), Alpagasus()):
        with pytest.raises(
            UserError, match=r"knows only .* of the rating prompt\. Name a judge with scorer=NAME, or give"
        ):
            method.check_scorer(default_scorer())
        assert method.check_scorer(judge) == []
    assert isinstance(judge, ModelRef)
