"""The scorer's losses on each example: of the response given the prompt, of the response alone, of the whole text."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from selbench.api import Context, Example, Feature, Pool
from selbench.data.chat import PROMPT, RESPONSE, Encoded, encode_spans
from selbench.errors import UserError, unknown
from selbench.features.extractor import compute_many, compute_shard
from selbench.features.head import TokenLosses
from selbench.features.shards import merged_rows
from selbench.features.texts import Conversations, TextKind, Texts, encode_in_chunks, encode_pool
from selbench.sizes import FeatureSize, ModelShape, PoolSize, read_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

LossText = Literal["conversation", "marked_response", "response"]
LossTemplate = Literal["scorer", "none"]

# All turns with a line break between them: what Superfiltering's code writes instead of a template.
BARE_TEMPLATE = """{%- for message in messages -%}
{%- if message.role == 'assistant' -%}{{ message.content + ('' if loop.last else '\\n') }}
{%- elif message.input -%}{{ message.instruction + '\\n' + message.input + '\\n' }}
{%- else -%}{{ message.content + '\\n' }}
{%- endif -%}
{%- endfor -%}"""


@dataclass(frozen=True)
class ResponseLosses:
    """The scorer's losses on each example, in nats, summed over tokens.

    The scorer reads one of three texts: the conversation up to the end of the response, the response after what the template
    puts before every answer (`### Response:`), or the response by itself. Each text is tokenised by itself, and begins with the
    BOS token if the conversation does.

    Feature, N numbers each: `response_loss` and `response_tokens`, the sum over the tokens of the last response (without
    template and end token) and how many these are; `whole_loss` and `whole_tokens`, the same of all tokens, template included.
    Tokens that nothing stands before are not predicted and not counted: so a response of one token read by itself has none.
    `cut` is whether a part of the response is beyond the tokens that are read of this text.

    Raises UserError for an option that is not valid.
    """

    text: LossText = "conversation"  # what the scorer reads
    template: LossTemplate = "scorer"  # the scorer's chat template; none: turns with a line break between them
    max_length: int | None = (
        None  # tokens of the conversation that are read at most, where that is less than the scorer does
    )

    needs_scorer: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    reads_blocks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for what, value, valid in (("text", self.text, LossText), ("template", self.template, LossTemplate)):
            if value not in get_args(valid):
                raise UserError(unknown(what, value, get_args(valid)))
        if self.max_length is not None and self.max_length < 1:
            raise UserError(f"max_length={self.max_length} is no length: it must be at least 1 token.")

    @property
    def text_kind(self) -> TextKind:
        """For the scorer's whole conversations the kind that other features read too."""
        if (self.text, self.template, self.max_length) == ("conversation", "scorer", None):
            return Conversations(response=True)
        return LossTexts(self.text, self.template, self.max_length)

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        tokens = read_tokens(pool, True) if self.text == "conversation" else pool.response_tokens
        return FeatureSize(tokens, 33.0 * pool.examples)

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        return compute_shard(self, pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        return {name: merged_rows(shards, name) for name in (*_SUMS, "cut")}

    def collector(self, texts: Texts, depth: int) -> _LossCollector:
        return _LossCollector(texts)


_SUMS = ("response_loss", "response_tokens", "whole_loss", "whole_tokens")


def mean_loss(losses: Feature, over: Literal["response", "whole"] = "response") -> np.ndarray:
    """The mean loss per token: N numbers, NaN where no token is predicted."""
    count = losses[f"{over}_tokens"]
    mean: np.ndarray = np.where(count > 0, losses[f"{over}_loss"] / np.maximum(count, 1), np.nan)
    return mean


@dataclass(frozen=True)
class LossTexts:
    """The texts of ResponseLosses."""

    text: LossText
    template: LossTemplate
    max_length: int | None

    @property
    def name(self) -> str:
        kind = f"{self.text.replace('_', '-')}-{self.template}"
        return kind if self.max_length is None else f"{kind}-{self.max_length}"

    def encode(self, pool: Pool, tokenizer: PreTrainedTokenizerBase, max_length: int, context: Context) -> Texts:
        used = tokenizer if self.template == "scorer" else _without_template(tokenizer)
        limit = max_length if self.max_length is None else min(max_length, self.max_length)
        if self.text == "conversation":
            return encode_pool(pool, used, max_length=limit, response=True, context=context)
        begin = _before_conversations(used) + (_before_answers(used) if self.text == "marked_response" else "")

        def encode_some(examples: Sequence[Example]) -> list[Encoded]:
            texts = [begin + example.response for example in examples]
            return encode_spans([(text, [(len(begin), len(text), RESPONSE)]) for text in texts], used, max_length=limit)

        return encode_in_chunks(pool, encode_some, context)


def last_response(text: Encoded) -> np.ndarray:
    """Which of the T tokens are of the last response: those with that role after the last token of a prompt."""
    prompts = np.flatnonzero(text.roles == PROMPT)
    mask: np.ndarray = text.roles == RESPONSE
    if len(prompts):
        mask = mask & (np.arange(len(text.roles)) > prompts[-1])
    return mask


def _without_template(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer with BARE_TEMPLATE, after the BOS token if it puts that before every text of its own accord."""
    bare = copy.copy(tokenizer)
    begun = tokenizer("a")["input_ids"]
    adds_bos = tokenizer.bos_token_id is not None and begun[0] == tokenizer.bos_token_id
    bare.chat_template = ("{{- bos_token -}}" if adds_bos else "") + BARE_TEMPLATE
    return bare


PROBE = [{"role": "user", "content": "a", "instruction": "a", "input": ""}]


def _before_conversations(tokenizer: Any) -> str:
    """The BOS token, if a conversation in this template begins with it; else nothing."""
    bos = str(tokenizer.bos_token or "")
    begins = bos and str(tokenizer.apply_chat_template(PROBE, tokenize=False)).startswith(bos)
    return bos if begins else ""


def _before_answers(tokenizer: Any) -> str:
    """What the template puts before every answer; nothing for a template that puts none."""
    without, added = (
        str(tokenizer.apply_chat_template(PROBE, tokenize=False, add_generation_prompt=asked))
        for asked in (False, True)
    )
    return added[len(without) :] if added.startswith(without) else ""


class _LossCollector:
    """Collects ResponseLosses."""

    kept = ("sums",)

    def __init__(self, texts: Texts) -> None:
        self.readings = [TokenLosses()]
        self.texts = texts
        self.sums = np.zeros((len(texts.distinct), len(_SUMS)))

    def add(self, batch: np.ndarray, pooled: dict[Any, Tensor]) -> None:
        for position, losses in zip(batch, pooled[self.readings[0]].numpy()):
            text = self.texts.distinct[position]
            whole = losses[: len(text.ids)].astype(np.float64)
            answer = last_response(text)[1:]  # nothing stands before the first token
            self.sums[position] = whole[1:][answer].sum(), answer.sum(), whole.sum(), max(0, len(whole) - 1)

    def result(self) -> Feature:
        columns = dict(zip(_SUMS, self.sums[self.texts.of].T))
        typed = {n: c.astype(np.int64) if n.endswith("tokens") else np.ascontiguousarray(c) for n, c in columns.items()}
        return {**typed, "cut": np.asarray(self.texts.cut)}
