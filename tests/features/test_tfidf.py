"""The truncated SVD of TF-IDF: against a dense one, from any start, with ties at the cut and without full rank."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from selbench.features import tfidf
from selbench.features.tfidf import tfidf_vectors, truncated
from selbench.optimize.kcenter import farthest_first


@pytest.fixture(params=["all eigenvectors", "block search"])
def way(request, monkeypatch):
    """Both ways to the eigenvectors; the search is for vocabularies that are too large for the other."""
    monkeypatch.setattr(tfidf, "DENSE", 10**6 if request.param == "all eigenvectors" else 0)


def texts(count: int, words: int = 500, seed: int = 0) -> list[str]:
    """Distinct texts of words that are as unevenly frequent as those of a language."""
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.zipf(1.3, (count, 7)), words)
    return [" ".join(f"w{i}" for i in row) + f" n{number}" for number, row in enumerate(drawn)]


def rows(count: int, words: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(1)
    made = sparse.csr_matrix(
        (rng.random(7 * count), (np.repeat(np.arange(count), 7), np.minimum(rng.zipf(1.3, 7 * count), words) - 1)),
        shape=(count, words),
    )
    return made


@pytest.mark.parametrize("shape", [(900, 400), (400, 900)], ids=["more texts", "more words"])
def test_it_is_that_of_numpy(way, shape):
    made = rows(*shape)
    left, singular, _ = np.linalg.svd(made.toarray(), full_matrices=False)
    found = truncated(made, 12)
    expected = left[:, :12] * singular[:12]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)
    assert (found[np.abs(found).argmax(0), np.arange(12)] > 0).all()


def test_the_start_of_the_search_does_not_matter(monkeypatch):
    monkeypatch.setattr(tfidf, "DENSE", 0)
    made = rows(1200, 600)
    one, other = (truncated(made, 20, seed) for seed in (0, 5))
    np.testing.assert_allclose(one, other, atol=1e-9)
    picks = [farthest_first(points.astype(np.float32), 180).order.tolist() for points in (one, other)]
    assert picks[0] == picks[1]


def test_equal_singular_values_are_left_out_together(way):
    """Five texts that share no word with others, of one length: any mixture of them would be a singular vector."""
    made = sparse.block_diag([rows(300, 60), 0.5 * sparse.identity(80)]).tocsr()
    strong = int((np.linalg.svd(rows(300, 60).toarray(), compute_uv=False) > 0.5 * (1 + 1e-6)).sum())
    found = truncated(made, strong + 5)
    assert found.shape[1] == strong
    np.testing.assert_allclose(found[300:], 0, atol=1e-9)
    assert truncated(sparse.identity(200).tocsr(), 16).shape == (200, 1)


def test_rows_of_few_directions(way):
    few = sparse.vstack([rows(400, 300)[:30]] * 30).tocsr()
    found = truncated(few, 40)
    np.testing.assert_allclose(found @ found.T, (few @ few.T).toarray(), atol=1e-8)


def test_texts_in_few_dimensions():
    found = tfidf_vectors(texts(700), 16)
    assert found.shape == (700, 16) and found.dtype == np.float32
    assert np.array_equal(found, tfidf_vectors(texts(700), 16))
