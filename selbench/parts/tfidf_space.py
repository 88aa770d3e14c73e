"""The space `tfidf`: words of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from selbench.api import Context, FeatureSpec, Pool
from selbench.features.embeddings import TextEmbeddings, TextPart
from selbench.parts.part import Space, View, space


@space("tfidf")
class Tfidf(Space):
    """TF-IDF of the words of each example, fitted on the pool and reduced by an exact SVD; needs no model.

    Options:
        dimension: how many dimensions are kept.
        text: the part that is read: instruction, question (instruction and input), prompt (with system text and earlier
            turns), response, or text (prompt and response).
    """

    gives: ClassVar[tuple[View, ...]] = ("vectors",)

    dimension: int = 256
    text: TextPart = "text"

    def __post_init__(self) -> None:
        _ = self._embeddings

    @property
    def _embeddings(self) -> TextEmbeddings:
        return TextEmbeddings("tfidf", self.dimension, self.text, False)

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        return [self._embeddings]

    def vectors(self, pool: Pool, context: Context) -> np.ndarray:
        return context.features(self._embeddings)["values"]
