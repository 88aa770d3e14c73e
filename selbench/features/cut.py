"""Texts that the scorer cannot read to their end: what is read at an end is then read somewhere in the middle."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from selbench.api import Context, Feature, Pool
from selbench.data.chat import PROMPT, RESPONSE, Encoded, encode
from selbench.errors import UserError, unknown
from selbench.features.reducers import POSITIONS, Positions
from selbench.features.texts import CHUNK
from selbench.numbers import count_text, percent_text
from selbench.sizes import FeatureSize, ModelShape, PoolSize

log = logging.getLogger("selbench")

TOLD = 0.05  # a larger share of cut texts is warned of
# The roles whose loss takes the end of the positions that count; every other kind of positions ends with the text.
ENDS = {"prompt": {PROMPT}, "response": {RESPONSE}, "all": {PROMPT, RESPONSE}}


def reads_an_end(positions: str, pooling: str) -> bool:
    """Whether a feature reads the last of its positions by itself, and so another token where a text is cut."""
    return positions == "last" or pooling in ("last", "last_minus_first")


def end_is_lost(text: Encoded, positions: str) -> bool:
    """Whether the last of the positions that count was cut off."""
    return bool(text.lost & ENDS[positions]) if positions in ENDS else text.truncated


@dataclass(frozen=True)
class CutTexts:
    """Which examples lose the last of the positions that count to the scorer's max_length. No forward pass is needed.

    Feature: `cut` (N booleans) and `limit` (the tokens that the scorer reads at most).
    """

    positions: Positions = "every"  # see reducers.positions_of
    response: bool = True  # whether the scorer reads the response after the prompt

    needs_scorer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise UserError(unknown("positions", self.positions, POSITIONS))

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        return FeatureSize(0.0, 1.0 * pool.examples)

    def compute(self, pool: Pool, context: Context) -> Feature:
        from selbench.models import load_tokenizer, training_context

        limit = training_context(context.scorer).tokens
        tokenizer = load_tokenizer(context.scorer)
        cut: list[bool] = []
        starts: Any = context.progress(range(0, len(pool), CHUNK), "measure")
        for start in starts:
            texts = encode(pool[start : start + CHUNK], tokenizer, max_length=limit, response=self.response)
            cut += [end_is_lost(text, self.positions) for text in texts]
        return {"cut": np.array(cut), "limit": np.array(limit)}


def cut_examples(pool: Pool, positions: Positions, pooling: str, response: bool, context: Context) -> np.ndarray:
    """Which examples of the pool are read at another token than their last: N booleans.

    All are false where no end is read. The number is logged as `cut_examples`, and a share above TOLD is warned of.
    """
    if not reads_an_end(positions, pooling):
        return np.zeros(len(pool), bool)
    found = context.features(CutTexts(positions, response), of=pool)
    cut: np.ndarray = found["cut"]
    context.log(cut_examples=int(cut.sum()))
    if (share := float(cut.mean())) > TOLD:
        log.warning(
            f"{count_text(int(cut.sum()))} of {count_text(len(pool))} examples ({percent_text(round(share, 2))}) do not fit "
            f"into the {int(found['limit']):,} tokens that the scorer reads. Where the last token is asked for, they are read "
            "at the last that fits, which says little about how they end; raise scorer.max_length (model.max_length where "
            "the model is its own scorer), or use a shorter template."
        )
    return cut
