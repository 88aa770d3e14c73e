"""How an example becomes tokens: one rendering as chat text, and one role for every token.

Selectors, trainers and suites all encode through this module, so "the response" means the same tokens everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.api import Example
from selbench.data.system_prompts import with_system
from selbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The roles of tokens. TEMPLATE covers BOS, role markers and the fixed words of the Alpaca template; END is what closes a
# response. Their order counts: the loss is over the roles from RESPONSE on.
TEMPLATE, PROMPT, RESPONSE, END = 0, 1, 2, 3

# The two prompts of Stanford Alpaca (tatsu-lab/stanford_alpaca, README), with or without an input, as a chat template.
ALPACA_TEMPLATE = """{{- bos_token or '' -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content + '\n\n' }}
{%- elif message.role == 'user' -%}
{%- if message.input -%}
{{ 'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\n' + message.instruction + '\n\n### Input:\n' + message.input + '\n\n' }}
{%- else -%}
{{ 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n' + (message.instruction or message.content) + '\n\n' }}
{%- endif -%}
{%- elif message.role == 'assistant' -%}{{ '### Response:\n' + message.content + (eos_token or '') + ('' if loop.last else '\n\n') }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\n' }}{%- endif -%}"""  # noqa: E501


@dataclass(frozen=True, eq=False)
class Encoded:
    """One example as tokens. The loss of supervised fine-tuning is over RESPONSE and END."""

    ids: np.ndarray  # T integers
    roles: np.ndarray  # T of TEMPLATE, PROMPT, RESPONSE, END
    lost: frozenset[int] = frozenset()  # the roles of the tokens that were cut off on the right

    @property
    def truncated(self) -> bool:
        """Whether tokens were cut off on the right."""
        return bool(self.lost)

    @property
    def in_loss(self) -> np.ndarray:
        """T booleans: the tokens that fine-tuning learns to predict."""
        return self.roles >= RESPONSE


def messages(example: Example) -> list[dict[str, str]]:
    """The conversation as transformers' chat templates take it. User turns also have `instruction` and `input` as fields."""
    turns = [{"role": "system", "content": example.system}] if example.system else []
    for user, assistant in example.history:
        turns.append({"role": "user", "content": user, "instruction": user, "input": ""})
        turns.append({"role": "assistant", "content": assistant})
    last = {"content": example.question, "instruction": example.instruction, "input": example.input}
    return [*turns, {"role": "user", **last}, {"role": "assistant", "content": example.response}]


def render_prompt(example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that the model is given before its response: all turns before it and the generation prompt.

    Raises UserError if the template refuses the conversation.
    """
    return require_labelled(example, tokenizer, response=False)


def require_labelled(example: Example, tokenizer: Any, response: bool = True) -> str:
    """The rendered text. Raises UserError if its turns cannot be told apart, without reading it as tokens."""
    return _spans(example, tokenizer, response)[0]


def encode(
    examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, *, max_length: int, response: bool = True
) -> list[Encoded]:
    """Tokens and roles of every example, cut on the right at `max_length` tokens.

    With `response=False` the text ends with the generation prompt. All assistant turns of a multi-turn example
    are RESPONSE. A token that crosses the end of a span has the role of the span it starts in; a token that starts one
    character before a span, as one that holds the space before a word does, has the role of that span.

    Raises UserError for an example that the template refuses, or of which it moves, changes or leaves out a turn: its
    tokens could not be told apart.
    """
    return encode_spans(
        [_spans(example, tokenizer, response) for example in examples], tokenizer, max_length=max_length
    )


def encode_spans(
    rendered: Sequence[tuple[str, list[tuple[int, int, int]]]], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[Encoded]:
    """Tokens and roles of texts with spans (start, end, role) of their characters, as `encode` gives those of examples.

    The tokenizer adds no special tokens; what stands in no span is TEMPLATE.
    """
    if not rendered:
        return []
    batch = tokenizer(
        [text for text, _ in rendered], add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    encoded = []
    for (text, spans), ids, offsets in zip(rendered, batch["input_ids"], batch["offset_mapping"]):
        labelled = _label(ids, offsets, spans) if _covered(text, offsets) else _label_pieces(text, spans, tokenizer)
        encoded.append(_cut(*labelled, max_length))
    return encoded


def count_response_tokens(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """N integers: the tokens of each response (all assistant turns), without template or end token."""
    counts = np.zeros(len(examples), np.int64)
    turns = [(i, text) for i, e in enumerate(examples) for text in (*(a for _, a in e.history), e.response)]
    ids = tokenizer([text for _, text in turns], add_special_tokens=False, verbose=False)["input_ids"]
    np.add.at(counts, [i for i, _ in turns], [len(row) for row in ids])
    return counts


class _Misfit(Exception):
    """Why a chat template and a conversation do not fit together, as a predicate: `refuses it: ...`."""


def _render(turns: list[dict[str, str]], tokenizer: Any, add_generation_prompt: bool = False) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt))
    except Exception as error:  # anybody's template may raise anything
        raise _Misfit(f"refuses it: {' '.join(str(error).split()).rstrip('.')}") from error


def _spans(example: Example, tokenizer: Any, response: bool) -> tuple[str, list[tuple[int, int, int]]]:
    """The rendered text, and the spans (start, end, role) of its characters that are not template, in order.

    Raises UserError for a conversation that the template does not write turn by turn.
    """
    try:
        return _spans_of_turns(messages(example), tokenizer, response)
    except _Misfit as misfit:
        raise UserError(
            f"example '{example.id}': {_template_in_words(tokenizer)} {misfit}. "
            f"{_what_works(example, tokenizer, response)}"
        ) from misfit


def _spans_of_turns(
    turns: list[dict[str, str]], tokenizer: Any, response: bool
) -> tuple[str, list[tuple[int, int, int]]]:
    text = _render(turns, tokenizer) if response else _render(turns[:-1], tokenizer, add_generation_prompt=True)
    spans: list[tuple[int, int, int]] = []
    cursor = 0
    for position, turn in enumerate(turns if response else turns[:-1]):
        if turn["role"] == "assistant":
            before = _render(turns[:position], tokenizer, add_generation_prompt=True)
            if not text.startswith(before):
                unlike = before[_shared(before, text) :]
                raise _Misfit(
                    f"writes what stands before {_turn_in_words(turns, position)} differently once it is answered (what asks "
                    f"for the answer goes on with {unlike[:40]!r}), so that the answer cannot be told from the prompt"
                )
            start = len(before)
            content = turn["content"].strip()
            found = text.find(content, start) if content else start
            if found < 0:
                raise _Misfit(f"changes or leaves out a part of {_turn_in_words(turns, position)}")
            cursor = found + len(content)
            spans.append((start, cursor, RESPONSE))
            spans.append(
                (cursor, cursor + _closing_length(turns[: position + 1], content, text, cursor, tokenizer), END)
            )
        else:
            parts = (turn["instruction"], turn["input"]) if turn.get("input") else (turn["content"],)
            for part in filter(None, (part.strip() for part in parts)):
                found = text.find(part, cursor)
                if found < 0:
                    raise _Misfit(f"moves, changes or leaves out {_turn_in_words(turns, position)}")
                cursor = found + len(part)
                spans.append((found, cursor, PROMPT))
    return text, spans


def _closing_length(turns: list[dict[str, str]], content: str, text: str, cursor: int, tokenizer: Any) -> int:
    """How many characters of `text` from `cursor` on close an answer: those that also end a conversation with it."""
    ended = _render(turns, tokenizer)
    # A template may write an answer otherwise where it is the last one: Qwen 3's puts empty thoughts before it.
    start = cursor if ended.startswith(text[:cursor]) else ended.rfind(content) + len(content)
    return _shared(ended[start:], text[cursor:])


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def _turn_in_words(turns: list[dict[str, str]], position: int) -> str:
    """`the system prompt`, `the response`, `user turn 2`."""
    role = turns[position]["role"]
    if role == "system":
        return "the system prompt"
    number, of = (sum(turn["role"] == role for turn in some) for some in (turns[: position + 1], turns))
    alone = {"user": "the prompt", "assistant": "the response"}
    return alone[role] if of == 1 else f"{role} turn {number}"


def _template_in_words(tokenizer: Any) -> str:
    where = getattr(tokenizer, "name_or_path", "")
    return f"the chat template of {where}" if where else "the chat template"


def _what_works(example: Example, tokenizer: Any, response: bool) -> str:
    """What would let the example be read, as a sentence: a treatment of its system prompt is named if it helps here."""
    helps = []
    for how, effect in (("into_user", "puts the system prompt before the first user turn"), ("drop", "leaves it out")):
        changed = with_system(example, how)
        try:
            if changed != example:
                _spans_of_turns(messages(changed), tokenizer, response)
                helps.append(f"pool.system={how} {effect}")
        except _Misfit:
            pass
    anyway = (
        "model.template=plain (or alpaca, or a template file; scorer.template for a scorer) writes every turn as it is"
    )
    return "; ".join([*helps, anyway]) + "."


def _label(
    ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Ids and roles of the tokens, from the characters (`offsets`) that each stands for."""
    roles = np.full(len(ids), TEMPLATE, np.uint8)
    starts, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
    for start, end, role in spans:
        # Word-level and SentencePiece tokenizers may give a token the space before it: hence one character of slack.
        roles[(ends > start) & (starts >= start - 1) & (starts < end)] = role
    return np.asarray(ids, np.int64), roles


def _covered(text: str, offsets: list[tuple[int, int]]) -> bool:
    """Whether the offsets cover every character of the text that is not white space.

    A tokenizer that silently drops unknown characters reports shifted offsets, which cannot be used.
    """
    depth = np.zeros(len(text) + 1, np.int64)
    starts, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    bare = np.flatnonzero(np.cumsum(depth)[:-1] == 0)
    return not "".join(text[i] for i in bare).strip()


def _label_pieces(text: str, spans: list[tuple[int, int, int]], tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids and roles with each span and each stretch of template encoded by itself, so that no offsets are needed."""
    ids: list[int] = []
    roles: list[int] = []
    cursor = 0
    for start, end, role in [*spans, (len(text), len(text), TEMPLATE)]:
        for piece, of in ((text[cursor:start], TEMPLATE), (text[start:end], role)):
            tokens = tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"] if piece else []
            ids += tokens
            roles += [of] * len(tokens)
        cursor = end
    return np.asarray(ids, np.int64), np.asarray(roles, np.uint8)


def _cut(ids: np.ndarray, roles: np.ndarray, limit: int) -> Encoded:
    return Encoded(ids[:limit], roles[:limit], frozenset(np.unique(roles[limit:]).tolist()))
