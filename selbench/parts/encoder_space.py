"""The space `encoder`: a sentence encoder reads the text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from selbench.api import Context, FeatureSpec, NotAtHand, Pool
from selbench.errors import UserError
from selbench.features.embeddings import TextEmbeddings, TextPart, encoder_problem, names_folder
from selbench.parts.part import Space, View, space


@space("encoder")
class Encoder(Space):
    """Vectors of a sentence-transformers model.

    Options:
        encoder: its name or folder.
        text: the part that is read: instruction, question (instruction and input), prompt (with system text and earlier
            turns), response, or text (prompt and response).
    """

    gives: ClassVar[tuple[View, ...]] = ("vectors",)

    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    text: TextPart = "text"

    def __post_init__(self) -> None:
        if self.encoder == "tfidf":
            raise UserError("space 'encoder' reads with a model: TF-IDF is the space 'tfidf'.")
        _ = self._embeddings

    @property
    def _embeddings(self) -> TextEmbeddings:
        return TextEmbeddings(self.encoder, text=self.text, normalize=False)

    def identity(self) -> dict[str, Any]:
        """The options for the key, with the content of an encoder's folder, or its commit, instead of its path or name."""
        return {**dataclasses.asdict(self), "encoder": self._embeddings.identity()["encoder"]}

    def check(self) -> None:
        """Raises NotAtHand for an encoder of the hub that is neither here nor to be downloaded, UserError for a bad folder."""
        if problem := encoder_problem(self.encoder):
            raise (UserError if names_folder(self.encoder) else NotAtHand)(
                f"space 'encoder': its model can be neither found nor downloaded: {problem}. Name a folder with "
                "selector.space={name: encoder, encoder: /folder}, or take selector.space=tfidf, which needs no model."
            )

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        return [self._embeddings]

    def vectors(self, pool: Pool, context: Context) -> np.ndarray:
        return context.features(self._embeddings)["values"]
