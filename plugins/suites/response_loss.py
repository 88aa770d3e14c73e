"""Bits per byte of held-out responses: a measure that also works for models too small to score on benchmarks."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Context, Example, ModelRef, Pool, Score, UserError, suite
from selbench.data.chat import RESPONSE, encode
from selbench.data.pools import QUICK, FilePool, settings_named
from selbench.hashing import file_hash
from selbench.kept_model import borrowed_model
from selbench.libraries import quiet
from selbench.models import load_tokenizer, positions_in
from selbench.placement import input_device

# Settings of model configurations that change the logits after the head. A model with one of them runs its own forward
# pass, because applying the head alone would give other logits.
AFTER_HEAD = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")


@dataclass(frozen=True, eq=False)
class ScoredResponse:
    """One response with its prompt, as tokens."""

    ids: np.ndarray  # T integers: prompt and response, up to the last response token that fits
    start: int  # position of the first scored token; T if none fits
    bytes: float  # UTF-8 bytes that the scored tokens stand for; 0 if none fits
    cut: bool = False  # whether some of the response does not fit


@suite("response_loss")
class ResponseLoss:
    """Bits per byte of held-out responses given their prompts: per set (headline) and per category. Lower is better.

    The score of a set is the bits of all its responses divided by all their UTF-8 bytes, so long responses weigh more;
    an item is the bits per byte of one response. The tokens of the response (the last assistant turn) are scored, the
    token that ends it is not. Of an example longer than `max_length` tokens, the part that fits is scored; its bytes are
    the response's bytes times the share of its tokens that fit. An example without a response token that fits is left
    out. Scores of models with different tokenizers are comparable only if neither tokenizer produces unknown tokens,
    which cost few bits for text they do not represent.

    Options:
        sets: name -> a file of examples, in any form that pools are read from.
        limit: how many examples of each set are scored, always the same ones; 0 for all.
        max_length: the longest example, in tokens, where it is to be lower than what the model has positions for.
        batch_size: tokens in one forward pass, with padding.
    """

    sets: dict[str, str] = field(default_factory=dict)
    limit: int = 0
    max_length: int | None = None
    batch_size: int = 8192

    def __post_init__(self) -> None:
        if self.limit < 0 or self.batch_size < 1:
            raise UserError(f"limit={self.limit} must be 0 (all) or more, and batch_size={self.batch_size} at least 1.")

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: a set of a few examples."""
        path = folder / "held_out.jsonl"
        rows = [
            {"id": f"h{i}", "instruction": f"which bird is {colour}", "output": f"the {colour} bird is gold"}
            for i, colour in enumerate(("black", "blue", "brown", "green"))
        ]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return {"sets": {"held_out": str(path)}}

    def check(self) -> None:
        """Raises UserError without sets, or for a set that cannot be read; a large file is left to the evaluation."""
        for name, path in self._sets().items():
            if (file := Path(path).expanduser()).is_file() and file.stat().st_size > QUICK:
                continue
            self._examples(name, path)

    def identity(self) -> dict[str, Any]:
        """The options that can change a score, with the content of the sets' files; `batch_size` is left out."""
        sets = {name: file_hash(Path(path).expanduser()) for name, path in self.sets.items()}
        return {"sets": sets, "limit": self.limit, "max_length": self.max_length}

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        """The scores of every set. Raises UserError without sets, or if no response of a set fits."""
        examples = self._examples_by_set()
        with quiet(), borrowed_model(model) as network:
            tokenizer = load_tokenizer(model)
            known = positions_in(network.config.to_dict()) or sys.maxsize
            limit = min(self.max_length or sys.maxsize, known)
            limit_text = (
                f"{limit:,} tokens, {'the positions of the model' if limit == known else 'the max_length of the suite'}"
            )
            # All sets are scored together, so that batches are filled across their borders.
            flat = [example for part in examples.values() for example in part]
            rows = scored_responses(flat, tokenizer, limit)
            bits = self._response_bits(network, rows, context)
        context.log(
            left_out=sum(row.bytes == 0 for row in rows),
            cut=sum(row.cut and row.bytes > 0 for row in rows),
            tokens=sum(len(row.ids) for row in rows),
        )
        scores: list[Score] = []
        start = 0
        for name, part in examples.items():
            stop = start + len(part)
            scores += set_scores(name, part, bits[start:stop], rows[start:stop], limit_text)
            start = stop
        return scores

    def texts(self) -> dict[str, dict[str, str]]:
        """Set -> example id -> prompt and response, for the leak check."""
        return {name: {example.id: example.text for example in part} for name, part in self._examples_by_set().items()}

    def _examples_by_set(self) -> dict[str, list[Example]]:
        return {name: fixed_subset(self._examples(name, path), self.limit) for name, path in self._sets().items()}

    def _sets(self) -> dict[str, str]:
        if not self.sets:
            raise UserError(
                "response_loss has no sets: name at least one, as suite.response_loss.sets.NAME=/path/to/file.jsonl."
            )
        return self.sets

    def _examples(self, name: str, path: str) -> Pool:
        with settings_named({"path": f"suite.response_loss.sets.{name}"}, f"response_loss: set '{name}'"):
            return FilePool(name=name, path=path).load().pool

    def _response_bits(self, network: Any, rows: Sequence[ScoredResponse], context: Context) -> np.ndarray:
        """N floats: the bits of each response, 0 where none of it fits. Rows of similar length share a batch."""
        bits = np.zeros(len(rows))
        batches = list(token_batches([len(row.ids) for row in rows], self.batch_size))
        for batch in context.progress(batches, "response loss"):
            bits[batch] = response_nats(network, [rows[position] for position in batch]) / math.log(2)
        return bits


def fixed_subset(examples: Sequence[Example], limit: int) -> list[Example]:
    """The `limit` examples whose ids have the lowest hashes, in the order of the file; all for 0."""
    if not limit:
        return list(examples)
    keys = [hashlib.blake2b(example.id.encode(), digest_size=8).digest() for example in examples]
    picked = sorted(range(len(examples)), key=lambda i: (keys[i], examples[i].id))[:limit]
    return [examples[position] for position in sorted(picked)]


def scored_responses(examples: Sequence[Example], tokenizer: Any, limit: int) -> list[ScoredResponse]:
    """The last assistant turn of each example, with the bytes of the part that fits into `limit` tokens."""
    found = []
    for example, row in zip(examples, encode(examples, tokenizer, max_length=sys.maxsize)):
        spoken = np.flatnonzero(row.roles == RESPONSE)
        # The last unbroken run of response tokens is the last turn; earlier turns count as prompt.
        spoken = spoken[np.flatnonzero(np.diff(spoken, prepend=-2) != 1)[-1] :] if len(spoken) else spoken
        # A token at position 0 has no prediction and cannot be scored.
        fits = spoken[(spoken < limit) & (spoken > 0)]
        share = len(fits) / max(1, len(spoken))
        stop = fits[-1] + 1 if len(fits) else 1
        size = len(example.response.strip().encode())
        start = int(fits[0]) if len(fits) else stop
        found.append(ScoredResponse(row.ids[:stop], start, share * size, cut=bool((spoken >= limit).any())))
    return found


def token_batches(lengths: Sequence[int], size: int) -> Iterator[np.ndarray]:
    """Batches of positions, longest rows first, of at most `size` tokens with padding; a longer row is a batch by itself."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, size // max(1, lengths[order[start]]))
        yield order[start:stop]
        start = stop


def response_nats(network: Any, rows: Sequence[ScoredResponse]) -> np.ndarray:
    """N floats: the negative log-likelihood of each row's response, in nats."""
    import torch
    from torch.nn.functional import cross_entropy

    # Padding is on the right, where no real token attends to it: causal models need no attention mask.
    shape = len(rows), max(len(row.ids) for row in rows)
    ids, scored = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        scored[i, row.start : len(row.ids)] = True
    if not scored.any():
        return np.zeros(len(rows))
    device = input_device(network)
    tokens, mask = torch.from_numpy(ids).to(device), torch.from_numpy(scored).to(device)
    with torch.inference_mode():
        logits = _logits_at(network, tokens[:, :-1], mask[:, 1:])
        losses = cross_entropy(logits.float(), tokens[:, 1:][mask[:, 1:]], reduction="none").double().cpu().numpy()
    return np.bincount(np.nonzero(scored)[0], weights=losses, minlength=len(rows))


def _logits_at(network: Any, tokens: Any, mask: Any) -> Any:
    """Logits at the positions of `mask` only, because with a large vocabulary the head is most of the work."""
    head = network.get_output_embeddings()
    if head is None or any(getattr(network.config, name, None) is not None for name in AFTER_HEAD):
        return network(input_ids=tokens, use_cache=False).logits[mask]
    return head(network.base_model(input_ids=tokens, use_cache=False).last_hidden_state[mask])


def set_scores(
    name: str, examples: Sequence[Example], bits: np.ndarray, rows: Sequence[ScoredResponse], limit: str
) -> list[Score]:
    """The score of a set with its items, then one side score for each category if it has several.

    Args:
        name: the set, which is the task of the score.
        examples: N examples of the set.
        bits: N floats.
        rows: N responses; those without bytes are left out.
        limit: what has to hold a response, in words.
    """
    bytes = np.asarray([row.bytes for row in rows])
    cut = np.asarray([row.cut for row in rows], dtype=bool)
    kept = bytes > 0
    if not kept.any():
        raise UserError(f"no response of the set '{name}' fits into {limit}.")

    def score(
        task: str, part: np.ndarray, items: Mapping[str, float] | None, weights: Mapping[str, float] | None = None
    ) -> Score:
        fits = part & kept
        return Score(
            task=task,
            metric="bits_per_byte",
            value=float(np.sum(bits[fits]) / np.sum(bytes[fits])),
            higher_is_better=False,
            headline=items is not None,
            items=items or {},
            weights=weights or {},
            cut=int((fits & cut).sum()),
            left_out=int((part & ~kept).sum()),
        )

    items = {e.id: float(b / size) for e, b, size, keep in zip(examples, bits, bytes, kept) if keep}
    weights = {e.id: float(size) for e, size, keep in zip(examples, bytes, kept) if keep}
    categories = np.asarray([example.category for example in examples])
    named = sorted(set(categories[kept]) - {""})
    sides = [score(f"{name}/{category}", categories == category, None) for category in named if len(named) > 1]
    return [score(name, np.ones(len(examples), bool), items, weights), *sides]
