"""The word-level tokenizer of the planted models: every word of the world and of the templates is one token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selbench.planted.pool import PADDINGS
from selbench.planted.skills import FRAMES, all_words, skills

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNKNOWN, PAD, START, END = "<unk>", "<pad>", "<s>", "</s>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
PUNCTUATION = tuple(".,:?!")

# The line break after a message is for a human reader: the tokenizer drops white space.
CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + (eos_token if message['role'] == 'assistant' else '\\n') -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def vocabulary() -> list[str]:
    """All tokens in the order of their ids: special tokens, punctuation, then all words in alphabetical order."""
    templates = [text for skill in skills().values() for text in (*skill.lines, *skill.questions)]
    words = {
        word for text in (*templates, *FRAMES, *PADDINGS) for word in re.findall(r"\w+", re.sub(r"{\w+}", " ", text))
    }
    specials = [UNKNOWN, PAD, START, END, SYSTEM, USER, ASSISTANT]
    return [*specials, *PUNCTUATION, *sorted(words.union(all_words()))]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast tokenizer with exact offsets, whose decoding restores the text with its punctuation."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    # The WordPiece decoder joins words with spaces and removes the space before . , ? and !, but not before a colon.
    backend.decoder = decoders.Sequence([decoders.WordPiece(cleanup=True), decoders.Replace(" :", ":")])
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (SYSTEM, USER, ASSISTANT)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=UNKNOWN,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_LENGTH,
    )


MAX_LENGTH = 256  # number of positions of both models; the longest example of a pool has fewer than 64 tokens
