"""Which tokens of a text count, and how their activations are pooled into one vector per text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from selbench.data.chat import PROMPT, RESPONSE, TEMPLATE, Encoded

if TYPE_CHECKING:
    from torch import Tensor

Positions = Literal["prompt", "response", "all", "last", "every"]
Pooling = Literal["mean", "max", "last", "last_minus_first", "mean_minus_first", "position_weighted"]
POSITIONS = get_args(Positions)


def positions_of(text: Encoded, positions: str) -> np.ndarray:
    """Which of the T tokens of a text count: T booleans.

    - prompt: what the user wrote
    - response: what the assistant wrote
    - all: prompt and response
    - last: only the last token of the text, from which a model would go on
    - every: all tokens, including BOS and template

    The first three leave out the BOS, the tokens of the template and the end token, whose activations are huge and
    similar in every text. If no token of a text counts (an empty instruction, a response cut off), the last token
    before the response does, so that every text has a vector.
    """
    roles = text.roles
    if positions == "last":
        mask: np.ndarray = np.arange(len(roles)) == len(roles) - 1
        return mask
    mask = {
        "prompt": roles == PROMPT,
        "response": roles == RESPONSE,
        "all": (roles == PROMPT) | (roles == RESPONSE),
        "every": np.ones(len(roles), bool),
    }[positions]
    if not mask.any():
        before = np.flatnonzero(roles == TEMPLATE)
        answer = np.flatnonzero(roles >= RESPONSE)
        before = before[before < answer[0]] if len(answer) else before
        mask = np.arange(len(roles)) == (before[-1] if len(before) else len(roles) - 1)
    return mask


def mask_of(texts: Sequence[Encoded], positions: str, width: int) -> np.ndarray:
    """Which tokens of each text count: B x width booleans, false on the padding to the right of a text."""
    mask = np.zeros((len(texts), width), bool)
    for row, text in zip(mask, texts):
        if len(text.ids):
            row[: len(text.ids)] = positions_of(text, positions)
        else:
            row[0] = True  # a text without a single token is read at its padding
    return mask


# A pooling function takes activations (B x T x W, float32) and the mask of counted tokens (B x T), and returns B x W.


def _mean_token(values: Tensor, mask: Tensor) -> Tensor:
    weights = mask.to(values.dtype)
    weights /= weights.sum(1, keepdim=True)
    return (weights[:, None, :] @ values)[:, 0]


def _position_weighted(values: Tensor, mask: Tensor) -> Tensor:
    """The i-th counted token counts i times, from 1 (SGPT; RDS+, arXiv 2503.01807)."""
    weights = mask.cumsum(1).to(values.dtype) * mask
    weights /= weights.sum(1, keepdim=True)
    return (weights[:, None, :] @ values)[:, 0]


def _largest_values(values: Tensor, mask: Tensor) -> Tensor:
    return values.masked_fill(~mask[:, :, None], float("-inf")).amax(1)


def _first_token(values: Tensor, mask: Tensor) -> Tensor:
    return _token_at(values, mask.int().argmax(1))


def _last_token(values: Tensor, mask: Tensor) -> Tensor:
    return _token_at(values, mask.shape[1] - 1 - mask.flip(1).int().argmax(1))


def _token_at(values: Tensor, position: Tensor) -> Tensor:
    return values.gather(1, position[:, None, None].expand(-1, 1, values.shape[2]))[:, 0]


def _last_minus_first(values: Tensor, mask: Tensor) -> Tensor:
    return _last_token(values, mask) - _first_token(values, mask)


def _mean_minus_first(values: Tensor, mask: Tensor) -> Tensor:
    return _mean_token(values, mask) - _first_token(values, mask)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean_token,
    "max": _largest_values,
    "last": _last_token,
    "last_minus_first": _last_minus_first,
    "mean_minus_first": _mean_minus_first,
    "position_weighted": _position_weighted,
}
