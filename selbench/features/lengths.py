"""The length of the responses in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selbench.api import Context, Feature, Pool
from selbench.sizes import FeatureSize, ModelShape, PoolSize


@dataclass(frozen=True)
class ResponseLength:
    """Tokens of each response under the scorer's tokenizer, without template and end token. Feature: `tokens` (N integers)."""

    needs_scorer: ClassVar[bool] = True
    per_example: ClassVar[bool] = True

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        return FeatureSize(0.0, 8.0 * pool.examples)

    def compute(self, pool: Pool, context: Context) -> Feature:
        from selbench.data.chat import count_response_tokens
        from selbench.models import load_tokenizer

        return {"tokens": count_response_tokens(pool, load_tokenizer(context.scorer))}
