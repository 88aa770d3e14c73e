"""What a judge thinks of each example: the logits of the digits with which it would answer a rating prompt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from selbench.api import Context, Example, Feature, ModelRef, NotAtHand, Pool
from selbench.data.chat import TEMPLATE, Encoded
from selbench.errors import UserError
from selbench.features.extractor import compute_many, compute_shard
from selbench.features.head import NextLogits
from selbench.features.shards import merged_rows
from selbench.features.texts import CHUNK, Texts, distinct_texts
from selbench.sizes import FeatureSize, ModelShape, PoolSize

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

PARTS = ("{instruction}", "{input}", "{question}", "{response}")
UNREADABLE = 0.1  # a judge whose tokenizer knows less of a rating prompt than all but this share cannot be asked it


@dataclass(frozen=True)
class DigitLogits:
    """The logits that the scorer, as a judge, gives each digit as its answer to a rating prompt.

    Feature: `logits` (R x digits, float32, from the lowest digit on) and `indptr` (N + 1): the rows of example i are those from
    indptr[i] to indptr[i + 1], one for its last turn, or with `every_turn` one for each turn. A row is NaN where the prompt is
    longer than what the scorer reads.

    Raises UserError for an option that is not valid and, when it computes, for a scorer that cannot answer with a digit.
    """

    prompt: str  # with parts of PARTS, which are replaced by those of the example
    lowest: int  # the digits that are asked for, from 0 to 9
    highest: int
    chat: bool = False  # whether the prompt is a user's turn in the scorer's chat template, or a text of its own
    every_turn: bool = False  # whether each turn of a conversation is rated, or the last one

    needs_scorer: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    reads_blocks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest <= 9:
            raise UserError(
                f"no digits from {self.lowest} to {self.highest}: ratings are two or more of the digits 0 to 9."
            )
        if not any(part in self.prompt for part in PARTS):
            raise UserError(
                f"the rating prompt shows nothing of the example: write {', '.join(PARTS)} where they belong."
            )

    @property
    def text_kind(self) -> RatingTexts:
        return RatingTexts(self.prompt, self.lowest, self.highest, self.chat, self.every_turn)

    @property
    def divisible(self) -> bool:
        """Whether it can be computed in shards: only where each example is one text."""
        return not self.every_turn

    def size(self, pool: PoolSize, model: ModelShape) -> FeatureSize:
        """As if the words of the rating prompt were as many tokens as a quarter of its characters."""
        tokens = pool.prompt_tokens + pool.response_tokens + pool.examples * len(self.prompt) / 4
        return FeatureSize(tokens, pool.examples * (8.0 + 4.0 * (self.highest - self.lowest + 1)))

    def compute(self, pool: Pool, context: Context) -> Feature:
        return compute_many([self], pool, context)[0]

    def compute_shard(self, pool: Pool, context: Context, shard: int, of: int) -> Feature:
        return compute_shard(self, pool, context, shard, of)

    def merge_shards(self, shards: Sequence[Feature], pool: Pool, context: Context) -> Feature:
        return {"logits": merged_rows(shards, "logits"), "indptr": np.arange(len(pool) + 1)}

    def collector(self, texts: Texts, depth: int) -> _DigitCollector:
        assert isinstance(texts, PromptTexts)
        return _DigitCollector(texts)


@dataclass(frozen=True, eq=False)
class PromptTexts(Texts):
    """Rating prompts, R texts with their positions in `of`, and the tokens that answer them."""

    answers: tuple[int, ...] = ()
    indptr: np.ndarray | None = None  # N + 1: where the texts of each example begin; None where each has one


@dataclass(frozen=True)
class RatingTexts:
    """The texts of DigitLogits: each goes up to the token before the digit."""

    prompt: str
    lowest: int
    highest: int
    chat: bool
    every_turn: bool

    @property
    def name(self) -> str:
        return f"ratings-{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"

    def encode(self, pool: Pool, tokenizer: PreTrainedTokenizerBase, max_length: int, context: Context) -> Texts:
        answers = self.answers(tokenizer)
        too_long: list[bool] = []
        counts: list[int] = []

        def texts() -> Iterable[Encoded]:
            starts: Any = context.progress(range(0, len(pool), CHUNK), "tokenise")
            for start in starts:
                turns = [self._turns(example) for example in pool[start : start + CHUNK]]
                counts.extend(map(len, turns))
                asked = [self._asked(turn, tokenizer) for some in turns for turn in some]
                # With a digit, so that what stands before it has the tokens that it has there.
                for ids in self._ids([f"{text}{self.lowest}" for text in asked], tokenizer):
                    too_long.append(len(ids) - 1 > max_length)
                    read = np.asarray(ids[:-1][:max_length], np.int64)
                    yield Encoded(read, np.full(len(read), TEMPLATE, np.uint8), frozenset())

        distinct, of = distinct_texts(texts())
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64) if self.every_turn else None
        return PromptTexts(distinct, of, np.array(too_long), answers, indptr)

    def _turns(self, example: Example) -> list[Example]:
        """What is rated of an example, each as an example of one turn."""
        earlier = [Example(example.id, user, assistant) for user, assistant in example.history]
        return [*earlier, example] if self.every_turn else [example]

    def answers(self, tokenizer: Any) -> tuple[int, ...]:
        """The token of each digit after the prompt. Raises UserError for a tokenizer that cannot write them as one token."""
        probe = self._asked(Example("", "a", "a"), tokenizer)
        digits = range(self.lowest, self.highest + 1)
        read = self._ids([f"{probe}{digit}" for digit in digits], tokenizer)
        tokens = tuple(ids[-1] for ids in read)
        before = {tuple(ids[:-1]) for ids in read}
        if len(before) > 1 or len(set(tokens)) < len(tokens) or tokenizer.unk_token_id in tokens:
            where = getattr(tokenizer, "name_or_path", "") or "this scorer"
            raise UserError(
                f"{where} cannot rate: its tokenizer does not write the digits {self.lowest} to {self.highest} as a token each. "
                "Name another judge with scorer=, or give scores from a file."
            )
        return tokens

    def unknown_share(self, tokenizer: Any) -> float:
        """The share of the prompt's tokens that the tokenizer does not know."""
        (ids,) = self._ids([self._asked(Example("", "a", "a"), tokenizer)], tokenizer)
        return ids.count(tokenizer.unk_token_id) / max(1, len(ids)) if tokenizer.unk_token_id is not None else 0.0

    def _asked(self, example: Example, tokenizer: Any) -> str:
        """The text that asks for the rating of an example."""
        values = {
            "{instruction}": example.instruction,
            "{input}": example.input,
            "{question}": example.question,
            "{response}": example.response,
        }
        text = ""
        for piece in _pieces(self.prompt):  # once, so that what an example says is not taken for a part
            text += values.get(piece, piece)
        if not self.chat:
            return text
        turns = [{"role": "user", "content": text, "instruction": text, "input": ""}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _ids(self, texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
        # A chat template writes the special tokens itself.
        found: list[list[int]] = tokenizer(list(texts), add_special_tokens=not self.chat, verbose=False)["input_ids"]
        if not self.chat and tokenizer.eos_token_id is not None:  # of tokenizers that close every text with it
            found = [ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids for ids in found]
        return found


def _pieces(prompt: str) -> list[str]:
    """The prompt cut into its parts and what stands between them."""
    return re.split("(" + "|".join(re.escape(part) for part in PARTS) + ")", prompt)


def judge_problem(spec: DigitLogits, scorer: ModelRef) -> str:
    """Why a scorer cannot be asked this rating prompt, as a clause; empty if it can.

    Raises NotAtHand for a scorer of the hub whose tokenizer is neither here nor to be downloaded.
    """
    from selbench.models import load_tokenizer, local_folder

    try:
        tokenizer, texts = load_tokenizer(scorer), spec.text_kind
    except UserError as error:
        if local_folder(scorer):
            raise
        raise NotAtHand(str(error)) from error
    share = texts.unknown_share(tokenizer)
    if share > UNREADABLE:
        return f"the tokenizer of '{scorer.name}' knows only {1 - share:.0%} of the words of the rating prompt"
    try:
        texts.answers(tokenizer)
    except UserError:
        return f"the tokenizer of '{scorer.name}' does not write the digits {spec.lowest} to {spec.highest} as a token each"
    return ""


def digit_shares(logits: np.ndarray) -> np.ndarray:
    """Softmax over the digits: N x digits, float64, from N x digits logits; NaN rows stay NaN."""
    values = np.asarray(logits, np.float64)
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: np.ndarray = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def expected_digit(logits: np.ndarray, lowest: int) -> np.ndarray:
    """The mean digit under `digit_shares`: N numbers, as DEITA's scorer reads a rating."""
    shares = digit_shares(logits)
    mean: np.ndarray = shares @ np.arange(lowest, lowest + shares.shape[-1], dtype=np.float64)
    return mean


class _DigitCollector:
    """Collects DigitLogits."""

    kept = ("logits",)

    def __init__(self, texts: PromptTexts) -> None:
        self.readings = [NextLogits(texts.answers)]
        self.texts = texts
        self.logits = np.zeros((len(texts.distinct), len(texts.answers)), np.float32)

    def add(self, batch: np.ndarray, pooled: dict[Any, Tensor]) -> None:
        self.logits[batch] = pooled[self.readings[0]].numpy()

    def result(self) -> Feature:
        logits = self.logits[self.texts.of]
        logits[np.asarray(self.texts.cut)] = np.nan
        indptr = np.arange(len(logits) + 1) if self.texts.indptr is None else self.texts.indptr
        return {"logits": logits, "indptr": indptr}
