"""The space `hidden`: the scorer's hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from selbench.api import Context, FeatureSpec, Pool
from selbench.features.cut import cut_examples
from selbench.features.embeddings import HiddenStates
from selbench.features.reducers import Pooling, Positions
from selbench.parts.part import Space, View, space


@space("hidden")
class Hidden(Space):
    """The scorer's residual stream after one block, one vector per example.

    Options:
        layer: the block that is read: last, middle, or its number.
        pooling: how tokens become one vector: position_weighted (the i-th counts i times, as in RDS+), mean, max, last,
            last_minus_first or mean_minus_first.
        positions: the tokens that are read: prompt, response, all (both), last (the last token) or every (with template and BOS).
        response: whether the scorer reads the response after the prompt.
    """

    gives: ClassVar[tuple[View, ...]] = ("vectors",)
    uses_scorer = True

    layer: str = "last"
    pooling: Pooling = "position_weighted"
    positions: Positions = "all"
    response: bool = True

    def __post_init__(self) -> None:
        _ = self._states

    @property
    def _states(self) -> HiddenStates:
        return HiddenStates(self.layer, self.pooling, self.positions, self.response)

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        return [self._states]

    def vectors(self, pool: Pool, context: Context) -> np.ndarray:
        values = context.features(self._states)["values"]
        cut_examples(pool, self.positions, self.pooling, self.response, context)
        return values
