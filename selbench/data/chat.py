"""How an example becomes tokens: one rendering and one labelling of positions, for every user of a model.

Selectors, trainers and suites all encode through here, so "the response" means the same tokens everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from selbench.api import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Roles of a token. TEMPLATE covers BOS, role markers and the fixed words of the Alpaca template.
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
    """One example as tokens: `ids` (T integers), `roles` (T of TEMPLATE, PROMPT, RESPONSE, END).

    The loss of supervised fine-tuning is over RESPONSE and END (what closes a response).
    """

    ids: np.ndarray
    roles: np.ndarray
    truncated: bool = False

    @property
    def in_loss(self) -> np.ndarray:
        """T booleans: the positions whose token is to be predicted."""
        return self.roles >= RESPONSE


def messages(example: Example) -> list[dict[str, str]]:
    """The conversation in the chat form of transformers. User turns also carry `instruction` and `input` apart."""
    turns = [{"role": "system", "content": example.system}] if example.system else []
    for user, assistant in example.history:
        turns.append({"role": "user", "content": user, "instruction": user, "input": ""})
        turns.append({"role": "assistant", "content": assistant})
    last = {"content": example.question, "instruction": example.instruction, "input": example.input}
    return [*turns, {"role": "user", **last}, {"role": "assistant", "content": example.response}]


def render_prompt(example: Example, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that a model is given before it answers."""
    return _render(messages(example)[:-1], tokenizer, add_generation_prompt=True)


def encode(
    examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, *, max_length: int, response: bool = True
) -> list[Encoded]:
    """Tokens and roles of every example, cut on the right at `max_length` tokens.

    With `response=False` the text ends with the generation prompt. All assistant turns of a multi-turn example
    are RESPONSE; a token that straddles the border of a span belongs to what comes before it.
    """
    rendered = [_spans(example, tokenizer, response) for example in examples]
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


def _render(turns: list[dict[str, str]], tokenizer: Any, add_generation_prompt: bool = False) -> str:
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    return text


def _spans(example: Example, tokenizer: Any, response: bool) -> tuple[str, list[tuple[int, int, int]]]:
    """The rendered text, and (start, end, role) of every stretch of it that is not template."""
    turns = messages(example)
    text = _render(turns, tokenizer) if response else _render(turns[:-1], tokenizer, add_generation_prompt=True)
    spans: list[tuple[int, int, int]] = []
    cursor = 0
    for position, turn in enumerate(turns if response else turns[:-1]):
        if turn["role"] == "assistant":
            before = _render(turns[:position], tokenizer, add_generation_prompt=True)
            after = _render(turns[: position + 1], tokenizer)
            if not text.startswith(before):  # some templates rewrite earlier turns; only what stands is labelled
                continue
            start = len(before)
            content = turn["content"].strip()
            found = text.find(content, start)
            cursor = found + len(content) if content and found >= 0 else start
            spans.append((start, cursor, RESPONSE))
            spans.append((cursor, max(cursor, min(len(after), len(text))), END))
        else:
            parts = (turn["instruction"], turn["input"]) if turn.get("input") else (turn["content"],)
            for part in (part.strip() for part in parts):
                found = text.find(part, cursor) if part else -1
                if found >= 0:
                    cursor = found + len(part)
                    spans.append((found, cursor, PROMPT))
    return text, spans


def _label(
    ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    roles = np.full(len(ids), TEMPLATE, np.uint8)
    starts, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
    for start, end, role in spans:
        # Word-level and SentencePiece tokenizers may give a token the space before it: hence one character of slack.
        roles[(ends > start) & (starts >= start - 1) & (starts < end)] = role
    return np.asarray(ids, np.int64), roles


def _covered(text: str, offsets: list[tuple[int, int]]) -> bool:
    """Whether the tokens account for all of the text but white space.

    A tokenizer that silently drops characters it lacks reports offsets that have slipped; they cannot be used.
    """
    depth = np.zeros(len(text) + 1, np.int64)
    starts, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
    np.add.at(depth, starts, 1)
    np.add.at(depth, ends, -1)
    bare = np.flatnonzero(np.cumsum(depth)[:-1] == 0)
    return not "".join(text[i] for i in bare).strip()


def _label_pieces(text: str, spans: list[tuple[int, int, int]], tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
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
    return Encoded(ids[:limit], roles[:limit], truncated=len(ids) > limit)
