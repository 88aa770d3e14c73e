"""Size and training recipe of the two base models: what `pretrain` trains by and the model card states."""

from __future__ import annotations

from dataclasses import dataclass

ROWS, LINES = 32, 4  # rows of a batch, lines of text in a row
# Most of a line cannot be foreseen (who is talked about); a small weight keeps that part a language model too.
UNFORESEEABLE = 0.1


@dataclass(frozen=True)
class Shape:
    """Size of a model, and the learning rate and number of steps that suit it."""

    width: int
    inner: int
    layers: int
    heads: int
    learning_rate: float
    steps: int
    bfloat16: bool  # matrix products in bfloat16: half the time on processors that have it


SHAPES = {
    "planted-1m": Shape(width=128, inner=352, layers=4, heads=4, learning_rate=3e-3, steps=4000, bfloat16=False),
    "planted-4m": Shape(width=256, inner=896, layers=4, heads=4, learning_rate=2e-3, steps=2500, bfloat16=True),
}
