"""TF-IDF vectors of texts in few dimensions: an exact truncated SVD, the same from any start and on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DENSE = 4096  # up to this many words, or texts, all eigenvectors are computed at once
BLOCK = 64  # directions that are added to the search together
TOLERANCE = 1e-12  # of an eigenvector's residual, relative to the largest eigenvalue
TIE = 1e-9  # singular values that differ by less, relative to the larger, are equal


def tfidf_vectors(texts: Sequence[str], dimension: int) -> np.ndarray:
    """Sublinear TF-IDF of words in at most `dimension` dimensions: one float32 row per text.

    The texts are distinct. With at most as many words as dimensions a column is a word, and with as few texts nothing is
    left out either, so that distances are kept. One zero column if no text has a word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    # One-letter words and numbers count, because they are often all that distinguishes two short instructions.
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", dtype=np.float64)
    try:
        rows = vectorizer.fit_transform(texts)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return np.zeros((len(texts), 1), np.float32)
    if rows.shape[1] <= dimension:
        return np.asarray(rows.toarray(), np.float32)
    return truncated(rows, dimension).astype(np.float32)


def truncated(rows: Any, dimension: int, seed: int = 0) -> np.ndarray:
    """The N x d coordinates of sparse rows (N x V) along their first right singular vectors, in float64.

    d is the largest number up to `dimension` at which the singular values are not equal on both sides of the cut: of
    equal ones any mixture would do, so they are kept or left out together (at least one column is returned, of zeros if
    need be). The vectors are computed until they no longer change, so `seed`, which only chooses where the search
    starts, does not matter. Each column's largest entry in absolute value is positive; of equal ones, the first.
    """
    texts, words = rows.shape
    side = min(texts, words)
    # The eigenvectors of the smaller of the two products: of the words among each other, or of the texts.
    tall = rows if words <= texts else rows.T.tocsr()
    count = min(dimension + 1, side)
    if side <= max(DENSE, 4 * count):
        values, vectors = _all_eigenvectors((tall.T @ tall).toarray(), count)
    else:
        values, vectors = _largest_eigenvectors(tall, count, seed)
    singular = np.sqrt(np.maximum(values, 0))
    kept = _without_cut_ties(singular, dimension)
    coordinates: np.ndarray = rows @ vectors[:, :kept] if words <= texts else vectors[:, :kept] * singular[:kept]
    if not kept:
        return np.zeros((texts, 1))
    # Rounded before the search for the largest, so that rounding errors do not decide between entries of equal size.
    size = np.round(np.abs(coordinates) / np.maximum(np.abs(coordinates).max(axis=0), 1e-300), 9)
    largest = coordinates[size.argmax(axis=0), np.arange(kept)]
    return coordinates * np.where(largest < 0, -1.0, 1.0)


def _without_cut_ties(singular: np.ndarray, dimension: int) -> int:
    """How many of the singular values (descending) to keep, so that the first one left out is no tie of a kept one."""
    if len(singular) <= dimension:
        return len(singular)
    return int((singular[:dimension] > singular[dimension] * (1 + TIE)).sum())


def _all_eigenvectors(product: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest `count` eigenvalues of a symmetric matrix, descending, and their eigenvectors as columns."""
    values, vectors = np.linalg.eigh(product)
    return values[::-1][:count], vectors[:, ::-1][:, :count]


def _largest_eigenvectors(tall: Any, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of `tall.T @ tall`, which is not formed: a block Lanczos search that keeps all directions orthogonal.

    The directions are as many as it takes, about six times `count` for 52,000 instructions: 170 MB at 14,000 words.
    """
    n, wide = tall.shape[1], tall.T.tocsr()
    basis = np.empty((n, 8 * BLOCK))
    projected = np.zeros((8 * BLOCK, 8 * BLOCK))  # basis.T @ tall.T @ tall @ basis
    block = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, BLOCK)))[0]
    m, rounds = 0, 0
    while True:
        end = m + block.shape[1]
        if end > basis.shape[1]:
            basis = np.concatenate([basis, np.empty_like(basis)], axis=1)
            projected = np.pad(projected, (0, basis.shape[1] - len(projected)))
        basis[:, m:end] = block
        image = wide @ (tall @ block)
        projected[:end, m:end] = basis[:, :end].T @ image
        projected[m:end, :m] = projected[:m, m:end].T
        # Twice, since one subtraction leaves rounding errors of the size of what is subtracted.
        for _ in range(2):
            image -= basis[:, :end] @ (basis[:, :end].T @ image)
        following, rest = np.linalg.qr(image)
        rounds += 1
        if end == n or (end >= 2 * count and rounds % 4 == 0):
            values, mixed = np.linalg.eigh(projected[:end, :end])
            residuals = np.linalg.norm(rest @ mixed[m:end, -count:], axis=0)
            if end == n or residuals.max() <= TOLERANCE * values[-1]:
                return values[::-1][:count], (basis[:, :end] @ mixed[:, -count:])[:, ::-1]
        # Where rows have few directions, what is left is rounding errors: those too are made orthogonal to the basis.
        following -= basis[:, :end] @ (basis[:, :end].T @ following)
        m, block = end, np.linalg.qr(following[:, : n - end])[0]
