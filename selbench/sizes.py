"""How large a feature is before it is computed, as its specification says it to a plan.

A specification may have `size(pool, model) -> FeatureSize`. Without it, a plan counts one reading of the whole pool by the
scorer, if the feature needs one, and a float32 vector as wide as the scorer for each example.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolSize:
    """The size of a pool for the scorer that reads it."""

    examples: int
    prompt_tokens: float  # of all examples, within what the scorer reads
    response_tokens: float


@dataclass(frozen=True)
class ModelShape:
    """The shape of the scorer, a decoder."""

    layers: int
    width: int  # of the residual stream
    inner: int  # of a feed-forward block


@dataclass(frozen=True)
class FeatureSize:
    """What computing a feature takes, and leaves in the store."""

    tokens: float  # that go through the scorer
    bytes: float
    flops: float = 0.0  # besides those of the scorer's forward passes


def read_tokens(pool: PoolSize, response: bool) -> float:
    """The tokens of one reading of all prompts, or with `response` of all examples."""
    return pool.prompt_tokens + (pool.response_tokens if response else 0.0)


def csr_bytes(rows: int, entries: float) -> float:
    """The bytes of a sparse binary matrix: `indices` of 4 bytes and `indptr` of 8."""
    return 4.0 * entries + 8.0 * rows
