"""Size and training recipe of the two base models, used by pretrain.py and stated in the model card."""

from __future__ import annotations

from dataclasses import dataclass

ROWS, LINES = 32, 4  # rows of a batch, lines of text in a row
# Weight in the loss of the words that cannot be foreseen (whom a line is about), which are most of a line. It is small
# but not 0, so that the model learns to write these words too.
UNFORESEEABLE = 0.1


@dataclass(frozen=True)
class Shape:
    """Size of a model and the training that suits it."""

    width: int  # of the residual stream
    inner: int  # width of the feed-forward network
    layers: int
    heads: int
    learning_rate: float  # at its peak
    steps: int
    bfloat16: bool  # whether matrix products are in bfloat16: half the time on processors that support it


SHAPES = {
    "planted-1m": Shape(width=128, inner=352, layers=4, heads=4, learning_rate=3e-3, steps=4000, bfloat16=False),
    "planted-4m": Shape(width=256, inner=896, layers=4, heads=4, learning_rate=2e-3, steps=2500, bfloat16=True),
}
