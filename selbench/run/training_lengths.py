"""What a training context cuts off and leaves out: measured by the framework, whoever the trainer is."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.data import chat
from selbench.hashing import file_hash
from selbench.models import (
    TrainingContext,
    fingerprint,
    light_tokenizer,
    load_tokenizer,
    template_name,
    training_context,
)
from selbench.run.stage import RunStage
from selbench.settings import Run
from selbench.store.facts import TrainingFacts
from selbench.store.files import load_arrays, read_json, save_arrays, write_json
from selbench.store.inventory import stage_path
from selbench.store.stages import MANIFEST, Store

TEMPLATE = "template.json"
SAMPLE = 2000  # examples of a pool that a plan looks at
CHUNK = 1000  # examples that are encoded at once


@dataclass(frozen=True, eq=False)
class Lengths:
    """How long N examples are, and where the loss is: of whole examples, so that they tell what any context cuts off.

    The loss is over the tokens of the responses and those that close them; a model does not predict the first token.
    """

    tokens: np.ndarray  # N integers: all tokens of an example, template included
    runs: np.ndarray  # R x 3 integers: an example, and where an unbroken run of its tokens in the loss begins and ends
    template: str = ""  # how its prompts are written

    def in_loss(self, longest: int = sys.maxsize) -> np.ndarray:
        """N integers: the tokens of each example in the loss, within its first `longest` tokens."""
        example, start, stop = self.runs.T
        fits = np.clip(np.minimum(stop, longest) - start, 0, None)
        return np.bincount(example, weights=fits, minlength=len(self.tokens)).astype(np.int64)

    def facts(self, positions: np.ndarray, context: TrainingContext) -> TrainingFacts:
        """Of the examples at these positions under a context, before anything is trained."""
        whole, kept = self.in_loss()[positions], self.in_loss(context.tokens)[positions]
        dropped = int((kept == 0).sum())
        return TrainingFacts(
            context=context.tokens,
            limit=context.limit,
            selected=len(positions),
            trained=len(positions) - dropped,
            cut=int((self.tokens[positions] > context.tokens).sum()),
            dropped=dropped,
            response_tokens=int(whole.sum()),
            response_tokens_kept=int(kept.sum()),
            template=self.template,
        )


@dataclass(frozen=True, eq=False)
class TrainingLengths(RunStage):
    """The lengths of a pool's examples as a model reads them in training."""

    pool: Pool
    model: ModelRef
    kind: ClassVar[str] = "lengths"

    @property
    def identity(self) -> dict[str, Any]:
        source = file_hash(Path(chat.__file__ or ""))
        return {"pool": self.pool.fingerprint, "model": fingerprint(self.model), "source": source}

    def result(self, store: Store) -> Lengths:
        """Raises UserError if the tokenizer cannot be loaded."""
        stage = store.stage(self.kind, self.identity, self._compute)
        return _read(stage.path)

    def _compute(self, folder: Path) -> None:
        tokenizer = load_tokenizer(self.model)
        found = measured_lengths(self.pool, tokenizer)
        save_arrays(folder, {"tokens": found.tokens, "runs": found.runs})
        write_json(folder / TEMPLATE, {"template": template_name(self.model, tokenizer.chat_template)})


def _read(folder: Path) -> Lengths:
    arrays, about = load_arrays(folder), read_json(folder / TEMPLATE) or {}
    return Lengths(arrays["tokens"], arrays["runs"], about.get("template", ""))


def measured_lengths(pool: Pool, tokenizer: Any) -> Lengths:
    """The lengths of all examples of a pool, whole."""
    tokens: list[int] = []
    runs: list[tuple[int, int, int]] = []
    for begin in range(0, len(pool), CHUNK):
        for row in chat.encode(pool[begin : begin + CHUNK], tokenizer, max_length=sys.maxsize):
            learnt = np.concatenate([[False], row.in_loss[1:], [False]]).astype(np.int8)
            edges = np.flatnonzero(np.diff(learnt)) + 1
            runs += [(len(tokens), int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
            tokens.append(len(row.ids))
    return Lengths(np.asarray(tokens, np.int64), np.asarray(runs, np.int64).reshape(-1, 3))


def lengths_at_hand(pool: Pool, model: ModelRef, root: Path) -> tuple[Lengths, np.ndarray] | None:
    """Lengths without computing a stage, and the positions that they are of: of the whole pool if the store at `root`
    has them, else of at most SAMPLE examples, measured now. None where the tokenizer's files are not at hand.
    """
    stage = TrainingLengths(pool, model)
    folder = stage_path(root, stage.kind, stage.key)
    if (folder / MANIFEST).is_file():
        return _read(folder), np.arange(len(pool))
    tokenizer = light_tokenizer(model)
    if tokenizer is None:
        return None
    sample = np.unique(np.linspace(0, len(pool) - 1, SAMPLE).astype(np.int64))
    found = measured_lengths(Pool(pool[int(position)] for position in sample), tokenizer)
    return dataclasses.replace(found, template=template_name(model, tokenizer.chat_template)), sample


def context_of(run: Run) -> TrainingContext:
    """The training context of a run. Raises UserError if its trainer names a longer one than its model."""
    lower = getattr(run.trainer, "max_length", None)
    return training_context(run.model, lower if isinstance(lower, int) else None)
