"""The distinct texts of a pool as tokens, in an order that does not depend on the order of the pool."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from selbench.api import Context, Example, Pool
from selbench.data.chat import RESPONSE, Encoded, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CALIBRATION = 1024  # number of distinct texts on which thresholds are calibrated
CHUNK = 2048  # examples tokenised together: bounds the memory of the tokenizer


def calibration_sample(pool: Pool, response: bool) -> tuple[str, ...]:
    """What boards call the random sample that a threshold is calibrated on; empty where the sample is all distinct texts.

    The texts are those of the prompts, or with `response` of the whole examples. Without a seed the sample follows from
    the texts themselves (`Texts`).
    """
    # Every cell of a grid asks, and a pool may have millions of examples.
    known = _needs_sample.setdefault(pool, {})
    if response not in known:
        known[response] = _exceeds((e.text if response else e.prompt for e in pool), CALIBRATION)
    return (f"calibration sample of {CALIBRATION:,} texts",) if known[response] else ()


_needs_sample: WeakKeyDictionary[Pool, dict[bool, bool]] = WeakKeyDictionary()


def _exceeds(texts: Iterable[str], limit: int) -> bool:
    """Whether more than `limit` of the texts are distinct."""
    seen: set[str] = set()
    return any(seen.add(text) or len(seen) > limit for text in texts)  # type: ignore[func-returns-value]


@dataclass(frozen=True, eq=False)
class Texts:
    """The D distinct texts of a pool of N examples, ordered by a hash of their tokens.

    The order makes the first `calibration` texts a random sample that does not depend on the order of the pool.
    Identical examples share one text, and so get identical features.
    """

    distinct: list[Encoded]  # D texts
    of: np.ndarray  # N integers: the position in `distinct` of each example's text
    cut: np.ndarray | None = None  # N booleans: whether a part of the response did not fit; None where nobody asked

    @property
    def calibration(self) -> int:
        """How many texts, from the first on, are for calibration."""
        return min(CALIBRATION, len(self.distinct))

    def batches(self, tokens: int) -> list[np.ndarray]:
        """Batches of at most `tokens` tokens, padding included, each as an array of positions in `distinct`.

        The batches of calibration texts come first. Within the two parts texts are sorted from long to short, which
        keeps padding short and meets the largest batch at the start. A text of more than `tokens` tokens is a batch.
        """
        lengths = np.array([len(text.ids) for text in self.distinct])
        order = np.arange(len(lengths))
        parts = order[: self.calibration], order[self.calibration :]
        return [
            batch
            for part in parts
            for batch in _batches_within(part[np.argsort(-lengths[part], kind="stable")], lengths, tokens)
        ]


class TextKind(Protocol):
    """Which texts of a pool are read: features whose texts are of one kind can come from one forward pass.

    A kind is a frozen dataclass; equal ones give the same texts.
    """

    @property
    def name(self) -> str:
        """A name for files: of letters, digits and hyphens, another for each kind."""
        ...

    def encode(self, pool: Pool, tokenizer: PreTrainedTokenizerBase, max_length: int, context: Context) -> Texts:
        """The texts as tokens; of a text that is longer, the first `max_length` tokens."""
        ...


@dataclass(frozen=True)
class Conversations:
    """The examples in the scorer's chat template."""

    response: bool  # with the response, or up to the generation prompt
    sample_seed: int | None = None  # chooses another order of the distinct texts, and so another calibration sample

    @property
    def name(self) -> str:
        return ("texts" if self.response else "prompts") + ("" if self.sample_seed is None else f"-{self.sample_seed}")

    def encode(self, pool: Pool, tokenizer: PreTrainedTokenizerBase, max_length: int, context: Context) -> Texts:
        return encode_pool(
            pool,
            tokenizer,
            max_length=max_length,
            response=self.response,
            context=context,
            sample_seed=self.sample_seed,
        )


def encode_pool(
    pool: Pool,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    response: bool,
    context: Context,
    sample_seed: int | None = None,
) -> Texts:
    """Tokens and roles of all examples, as data.chat gives them; at most `max_length` tokens each.

    `sample_seed` chooses another order of the distinct texts, and so another calibration sample.
    """
    prefix = b"" if sample_seed is None else f"{sample_seed}/".encode()

    def encode_some(examples: Sequence[Example]) -> list[Encoded]:
        return encode(examples, tokenizer, max_length=max_length, response=response)

    return encode_in_chunks(pool, encode_some, context, prefix)


def encode_in_chunks(
    pool: Pool, encode_some: Callable[[Sequence[Example]], list[Encoded]], context: Context, prefix: bytes = b""
) -> Texts:
    """The texts that `encode_some` gives for the examples, a few at a time; `prefix` is as in `distinct_texts`."""
    cut: list[bool] = []

    def encoded() -> Iterable[Encoded]:
        starts: Any = context.progress(range(0, len(pool), CHUNK), "tokenise")
        for start in starts:
            for text in encode_some(pool[start : start + CHUNK]):
                cut.append(RESPONSE in text.lost)
                yield text

    distinct, of = distinct_texts(encoded(), prefix)
    return Texts(distinct, of, np.array(cut))


def distinct_texts(texts: Iterable[Encoded], prefix: bytes = b"") -> tuple[list[Encoded], np.ndarray]:
    """The D distinct ones of N texts, ordered by a hash of `prefix` and their tokens, and the position of each text in them."""
    found: dict[bytes, Encoded] = {}
    keys: list[bytes] = []
    for text in texts:
        key = hashlib.blake2b(prefix + text.ids.tobytes() + text.roles.tobytes(), digest_size=16).digest()
        found.setdefault(key, text)
        keys.append(key)
    ordered = sorted(found)
    position = {key: i for i, key in enumerate(ordered)}
    return [found[key] for key in ordered], np.array([position[key] for key in keys])


def _batches_within(order: np.ndarray, lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """`order` (longest first) cut into batches of at most `tokens` tokens with padding; a longer text is a batch."""
    batches, start = [], 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches
