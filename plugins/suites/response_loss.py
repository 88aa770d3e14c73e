"""Bits per byte of held-out responses: what a model too small for benchmarks can still be measured by."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Context, Example, ModelRef, Score, UserError, suite
from selbench.data.chat import RESPONSE, encode
from selbench.data.pools import FilePool
from selbench.hashing import file_hash
from selbench.libraries import quiet
from selbench.models import load_model, load_tokenizer

# Configurations whose models change the logits after the head; for them the model's own forward is used.
AFTER_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")


@dataclass(frozen=True, eq=False)
class ScoredResponse:
    """A response to be scored: the tokens up to its end, where it starts, and the bytes it stands for."""

    ids: np.ndarray
    start: int
    bytes: float


@suite("response_loss")
class ResponseLoss:
    """Bits per byte of held-out responses given their prompts: per set (headline) and per category. Lower is better.

    A set's score is the bits of all its responses over all their UTF-8 bytes, so long responses weigh more; items
    are bits per byte of each response. Scored are the tokens of the response (the last assistant turn) and not the
    token that ends it. Where an example is longer than `max_length` tokens, what fits is scored, against the same
    share of the response's bytes as of its tokens; an example without any response token that fits is left out.
    Scores of models with different tokenizers are comparable only if both can write everything (an unknown token is
    cheap).

    Options:
        sets: name -> a file of examples in any form that pools are read from.
        limit: so many examples of each set, always the same; 0: all.
        max_length: in tokens; null: the model's.
        batch_size: in tokens.
    """

    sets: dict[str, str] = field(default_factory=dict)
    limit: int = 0
    max_length: int | None = None
    batch_size: int = 8192

    def __post_init__(self) -> None:
        if self.limit < 0 or self.batch_size < 1:
            raise UserError(f"limit={self.limit} must be 0 (all) or more, and batch_size={self.batch_size} at least 1.")

    def identity(self) -> dict[str, Any]:
        """What can change a score: the content of the sets and what is scored of it; not how it is batched."""
        sets = {name: file_hash(Path(path).expanduser()) for name, path in self.sets.items()}
        return {"sets": sets, "limit": self.limit, "max_length": self.max_length}

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        """Score every set."""
        examples = self._examples_by_set()
        with quiet():
            network, tokenizer = load_model(model), load_tokenizer(model)
            positions = getattr(network.config, "max_position_embeddings", None) or sys.maxsize
            limit = min(self.max_length or model.max_length, positions)
            flat = [example for part in examples.values() for example in part]
            rows = scored_responses(flat, tokenizer, limit)
            bits = self._response_bits(network, rows, context)
        context.log(left_out=sum(row.bytes == 0 for row in rows), tokens=sum(len(row.ids) for row in rows))
        scores: list[Score] = []
        start = 0
        for name, part in examples.items():
            stop = start + len(part)
            scores += set_scores(name, part, bits[start:stop], np.asarray([row.bytes for row in rows[start:stop]]))
            start = stop
        return scores

    def texts(self) -> dict[str, dict[str, str]]:
        """Set -> example id -> prompt and response, for the leak check."""
        return {name: {example.id: example.text for example in part} for name, part in self._examples_by_set().items()}

    def _examples_by_set(self) -> dict[str, list[Example]]:
        if not self.sets:
            raise UserError("response_loss has no sets: name at least one, as sets.NAME=/path/to/file.")
        return {
            name: fixed_subset(FilePool(name=name, path=path).load().pool, self.limit)
            for name, path in self.sets.items()
        }

    def _response_bits(self, network: Any, rows: Sequence[ScoredResponse], context: Context) -> np.ndarray:
        """N floats: bits of each response. Batches hold rows of similar length."""
        bits = np.zeros(len(rows))
        batches = list(token_batches([len(row.ids) for row in rows], self.batch_size))
        for batch in context.progress(batches, "response loss"):
            bits[batch] = response_nats(network, [rows[position] for position in batch]) / math.log(2)
        return bits


def fixed_subset(examples: Sequence[Example], limit: int) -> list[Example]:
    """`limit` examples picked by a hash of their ids, in the order of the file; 0: all."""
    if not limit:
        return list(examples)
    keys = [hashlib.blake2b(example.id.encode(), digest_size=8).digest() for example in examples]
    picked = sorted(range(len(examples)), key=lambda i: (keys[i], examples[i].id))[:limit]
    return [examples[position] for position in sorted(picked)]


def scored_responses(examples: Sequence[Example], tokenizer: Any, limit: int) -> list[ScoredResponse]:
    """The last assistant turn of each example, as far as it fits into `limit` tokens."""
    found = []
    for example, row in zip(examples, encode(examples, tokenizer, max_length=sys.maxsize)):
        spoken = np.flatnonzero(row.roles == RESPONSE)
        # The last unbroken run is the last turn; earlier turns of a conversation are part of the prompt.
        spoken = spoken[np.flatnonzero(np.diff(spoken, prepend=-2) != 1)[-1] :] if len(spoken) else spoken
        fits = spoken[(spoken < limit) & (spoken > 0)]
        share = len(fits) / max(1, len(spoken))
        stop = fits[-1] + 1 if len(fits) else 1
        size = len(example.response.strip().encode())
        found.append(ScoredResponse(row.ids[:stop], int(fits[0]) if len(fits) else stop, share * size))
    return found


def token_batches(lengths: Sequence[int], size: int) -> Iterator[np.ndarray]:
    """Positions in batches of at most `size` tokens with padding, longest first; a longer row goes alone."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, size // max(1, lengths[order[start]]))
        yield order[start:stop]
        start = stop


def response_nats(network: Any, rows: Sequence[ScoredResponse]) -> np.ndarray:
    """The negative log-likelihood of each row's response. Padding is on the right, where causal attention never looks."""
    import torch
    from torch.nn.functional import cross_entropy

    shape = len(rows), max(len(row.ids) for row in rows)
    ids, scored = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        scored[i, row.start : len(row.ids)] = True
    if not scored.any():
        return np.zeros(len(rows))
    tokens, mask = torch.from_numpy(ids).to(network.device), torch.from_numpy(scored).to(network.device)
    with torch.inference_mode():
        logits = _logits_at(network, tokens[:, :-1], mask[:, 1:])
        losses = cross_entropy(logits.float(), tokens[:, 1:][mask[:, 1:]], reduction="none").double().cpu().numpy()
    return np.bincount(np.nonzero(scored)[0], weights=losses, minlength=len(rows))


def _logits_at(network: Any, tokens: Any, mask: Any) -> Any:
    """Logits at the positions of `mask` only: with a large vocabulary the head is most of the work."""
    head = network.get_output_embeddings()
    if head is None or any(getattr(network.config, name, None) is not None for name in AFTER_HEAD):
        return network(input_ids=tokens, use_cache=False).logits[mask]
    return head(network.base_model(input_ids=tokens, use_cache=False).last_hidden_state[mask])


def set_scores(name: str, examples: Sequence[Example], bits: np.ndarray, bytes: np.ndarray) -> list[Score]:
    """The set's score with its items, then one per category where there are several."""
    kept = bytes > 0
    if not kept.any():
        raise UserError(f"no response of the set '{name}' fits: raise the suite's max_length.")
    items = {e.id: float(b / size) for e, b, size, keep in zip(examples, bits, bytes, kept) if keep}
    scores = [_bits_per_byte(name, bits[kept], bytes[kept], items)]
    categories = np.asarray([example.category for example in examples])
    named = sorted(set(categories[kept]) - {""})
    for category in named if len(named) > 1 else []:
        chosen = kept & (categories == category)
        scores.append(_bits_per_byte(f"{name}/{category}", bits[chosen], bytes[chosen], None))
    return scores


def _bits_per_byte(task: str, bits: np.ndarray, bytes: np.ndarray, items: Mapping[str, float] | None) -> Score:
    return Score(
        task=task,
        metric="bits_per_byte",
        value=float(bits.sum() / bytes.sum()),
        higher_is_better=False,
        headline=items is not None,
        items=items or {},
    )
