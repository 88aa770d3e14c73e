"""The texts of a pool as tokens, each distinct one once, in an order that does not depend on the pool's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.api import Context, Pool
from selbench.data.chat import Encoded, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CALIBRATION = 1024  # how many distinct texts thresholds are calibrated on
CHUNK = 2048  # examples tokenised together, which bounds what the tokenizer holds


@dataclass(frozen=True, eq=False)
class Texts:
    """`distinct` (D texts), and for each of the N examples of the pool which one is its (`of`, N positions).

    The distinct texts stand in the order of a hash of their tokens. So the first `calibration` of them are a random
    sample of the pool's texts that no reordering of the pool changes, and identical examples get identical features.
    """

    distinct: list[Encoded]
    of: np.ndarray

    @property
    def calibration(self) -> int:
        return min(CALIBRATION, len(self.distinct))

    def batches(self, tokens: int) -> list[np.ndarray]:
        """Positions in `distinct`, the calibration texts first, then by length, in batches of `tokens` with padding."""
        lengths = np.array([len(text.ids) for text in self.distinct])
        order = np.arange(len(lengths))
        parts = order[: self.calibration], order[self.calibration :]
        return [
            batch
            for part in parts
            for batch in _batches_within(part[np.argsort(-lengths[part], kind="stable")], lengths, tokens)
        ]


def encode_pool(
    pool: Pool, tokenizer: PreTrainedTokenizerBase, *, max_length: int, response: bool, context: Context
) -> Texts:
    """Tokens and roles of all examples, through data.chat (which says what the template and the roles are)."""
    found: dict[bytes, Encoded] = {}
    keys: list[bytes] = []
    starts: Any = context.progress(range(0, len(pool), CHUNK), "tokenise")
    for start in starts:
        for text in encode(pool[start : start + CHUNK], tokenizer, max_length=max_length, response=response):
            key = hashlib.blake2b(text.ids.tobytes() + text.roles.tobytes(), digest_size=16).digest()
            found.setdefault(key, text)
            keys.append(key)
    ordered = sorted(found)
    position = {key: i for i, key in enumerate(ordered)}
    return Texts([found[key] for key in ordered], np.array([position[key] for key in keys]))


def _batches_within(order: np.ndarray, lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """`order` (longest first) in runs whose padded size stays within `tokens`; a longer text is a batch of its own."""
    runs, start = [], 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        runs.append(order[start : start + size])
        start += size
    return runs
