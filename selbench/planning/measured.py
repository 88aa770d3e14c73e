"""How long the examples of a pool are as a model reads them, and how much of them a context keeps, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.models import fingerprint
from selbench.planning.stand_ins import StatedPool
from selbench.run.training_lengths import Lengths, lengths_at_hand


@dataclass(frozen=True, eq=False)
class PoolLengths:
    """The length of each of N examples, template included: measured where a tokenizer is at hand, else by a rate."""

    tokens: np.ndarray  # N floats
    in_loss: np.ndarray  # N floats: those of the responses, with the token that closes one
    source: str  # for people
    measured: Lengths | None = None
    positions: np.ndarray | None = None  # of the examples that `measured` is of
    _kept: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # every cell of a grid asks anew

    def kept(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        """What is left of `tokens` and `in_loss` within a context; an example with nothing in the loss is dropped."""
        if context not in self._kept:
            self._kept[context] = self._cut(context)
        return self._kept[context]

    def _cut(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.minimum(self.tokens, context)
        # Of an example that was not measured, what is not in the loss is taken to come first.
        in_loss = np.clip(tokens - (self.tokens - self.in_loss), 0, self.in_loss)
        if self.measured is not None:
            in_loss[self.positions] = self.measured.in_loss(context)
        return tokens, in_loss


class MeasuredPools:
    """The lengths of the pools of one plan, each measured once."""

    def __init__(self, root: Path, chars_per_token: float) -> None:
        """`chars_per_token` is assumed where no tokenizer is at hand."""
        self.root, self.chars_per_token = root, chars_per_token
        self._measured: dict[tuple[str, str], tuple[Lengths, np.ndarray] | None] = {}
        self._found: dict[tuple[str, str], PoolLengths] = {}

    def measured(self, pool: Pool, model: ModelRef) -> tuple[Lengths, np.ndarray] | None:
        """As `lengths_at_hand`; None also where the template raises an error, and for a pool of which only the size is known."""
        place = pool.fingerprint, fingerprint(model)
        if isinstance(pool, StatedPool):
            return None
        if place not in self._measured:
            try:
                self._measured[place] = lengths_at_hand(pool, model, self.root)
            except Exception:  # a template of anybody's may raise anything: the run will say it
                self._measured[place] = None
        return self._measured[place]

    def lengths(self, pool: Pool, model: ModelRef, counted: np.ndarray | None = None) -> PoolLengths:
        """The lengths of a pool; `counted` are its N response tokens, where they are known."""
        if isinstance(pool, StatedPool):
            return _as_stated(pool)
        place = pool.fingerprint, fingerprint(model)
        if place not in self._found:
            found = self.measured(pool, model)
            self._found[place] = (
                _extended(pool, *found) if found else _by_characters(pool, self.chars_per_token, counted)
            )
        return self._found[place]


def _as_stated(pool: StatedPool) -> PoolLengths:
    """The mean length for every example, without the template's words."""
    in_loss = np.full(len(pool), float(pool.source.response_tokens))
    return PoolLengths(in_loss + pool.source.prompt_tokens, in_loss, "lengths as stated")


def _characters(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """N floats each: the characters of the whole example, and those of its response."""
    response = np.asarray([len(example.response) for example in pool], float)
    return np.asarray([len(example.text) for example in pool], float), response


def _extended(pool: Pool, lengths: Lengths, sample: np.ndarray) -> PoolLengths:
    """The lengths of the whole pool from those of a sample: the others by a line through characters and tokens."""
    if len(sample) == len(pool):
        return PoolLengths(lengths.tokens.astype(float), lengths.in_loss().astype(float), "", lengths, sample)
    whole, response = _characters(pool)
    in_loss = _by_line(response, sample, lengths.in_loss().astype(float))
    before = _by_line(whole - response, sample, lengths.tokens - lengths.in_loss().astype(float))
    source = f"lengths as measured on {len(sample):,} of {len(pool):,} examples"
    return PoolLengths(before + in_loss, in_loss, source, lengths, sample)


def _by_line(characters: np.ndarray, sample: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """N floats: the tokens of the sample as measured, those of the others by least squares, never below 0."""
    x = characters[sample]
    varies = len(x) > 1 and float(np.ptp(x)) > 0
    slope, fixed = np.polyfit(x, tokens, 1) if varies else (0.0, float(np.mean(tokens)))
    found = np.clip(fixed + slope * characters, 0, None)
    found[sample] = tokens
    return found


def _by_characters(pool: Pool, rate: float, counted: np.ndarray | None) -> PoolLengths:
    """Without a tokenizer: the characters by a rate, that of the responses where these were counted. No template."""
    whole, response = _characters(pool)
    source = f"{rate:g} characters per token assumed"
    if counted is not None and counted.sum():
        rate = max(1.0, float(response.sum()) / float(counted.sum()))
        source = f"{rate:.1f} characters per token, as counted in the responses"
    in_loss = response / rate if counted is None else counted.astype(float)
    return PoolLengths(np.maximum(whole / rate, in_loss), in_loss, source)
