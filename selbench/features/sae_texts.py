"""Text from a file on which a sparse autoencoder is trained in addition to the pool."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selbench.data import files
from selbench.data.chat import PROMPT, RESPONSE, TEMPLATE, Encoded, encode
from selbench.data.pools import FilePool
from selbench.errors import UserError


def text_file_hash(path: str) -> str:
    """The SHA-256 of the file. Raises UserError if the file does not exist."""
    if not Path(path).expanduser().is_file():
        raise UserError(f"extra_text={path}: there is no such file.")
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()


def extra_texts(path: str, tokenizer: Any, max_length: int, positions: str) -> list[Encoded]:
    """Tokens and roles of the texts in a file.

    A file whose first row has a `text` and no `instruction` holds plain text; any other is read as a pool file. Plain
    text is cut into pieces of `max_length` tokens. All its tokens count, whatever `positions` is, except special tokens
    and the first token of each piece.

    Raises UserError if a row of plain text has no `text`.
    """
    file = Path(path).expanduser()
    rows = files.read_rows(file)
    _, first = next(rows, ("", None))
    if not (isinstance(first, Mapping) and isinstance(first.get("text"), str) and "instruction" not in first):
        return encode(FilePool(name="extra_text", path=path).load().pool, tokenizer, max_length=max_length)
    role = RESPONSE if positions == "response" else PROMPT
    pieces: list[Encoded] = []
    for row in (first, *(row for _, row in rows)):
        text = row.get("text") if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            raise UserError(f"extra_text={path}: every row needs a field `text`, as the first row has.")
        pieces += _encoded_pieces(text, tokenizer, max_length, role)
    return pieces


def _encoded_pieces(text: str, tokenizer: Any, max_length: int, role: int) -> list[Encoded]:
    found = tokenizer(text, return_special_tokens_mask=True, verbose=False)
    ids = np.asarray(found["input_ids"], np.int64)
    roles = np.where(np.asarray(found["special_tokens_mask"], bool), TEMPLATE, role).astype(np.uint8)
    # The first token of a sequence has the activations of a BOS, whether or not it is one.
    roles[::max_length] = TEMPLATE
    return [Encoded(ids[s : s + max_length], roles[s : s + max_length]) for s in range(0, len(ids), max_length)]
