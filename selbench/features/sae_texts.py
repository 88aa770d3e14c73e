"""Text from a file, besides the pool's, that a sparse autoencoder may be trained on."""

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


def content_of(path: str) -> str:
    """A hash of the file. Raises UserError if there is none."""
    if not Path(path).expanduser().is_file():
        raise UserError(f"extra_text={path}: there is no such file.")
    return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()


def extra_texts(path: str, tokenizer: Any, max_length: int, positions: str) -> list[Encoded]:
    """Tokens and roles of the file's texts: rows with a `text` and no `instruction`, else a pool file.

    All tokens of plain text count, whatever `positions` says, except the first of each piece and the special ones.
    Longer texts come in pieces of `max_length` tokens.
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
        pieces += _pieces(text, tokenizer, max_length, role)
    return pieces


def _pieces(text: str, tokenizer: Any, max_length: int, role: int) -> list[Encoded]:
    found = tokenizer(text, return_special_tokens_mask=True, verbose=False)
    ids = np.asarray(found["input_ids"], np.int64)
    roles = np.where(np.asarray(found["special_tokens_mask"], bool), TEMPLATE, role).astype(np.uint8)
    # The first token of a sequence acts as its BOS whether or not it is one.
    roles[::max_length] = TEMPLATE
    return [Encoded(ids[s : s + max_length], roles[s : s + max_length]) for s in range(0, len(ids), max_length)]
