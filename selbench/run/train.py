"""Fine-tuning on the selected examples, as a stage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selbench.api import Context, Example, ModelRef
from selbench.models import fingerprint
from selbench.store.files import write_json
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.stages import Stage, Store

KIND = "model"
REF = "model.json"


class Tuning:
    """The fine-tuning of one model on the chosen examples: done when its model is first asked for, and only then.

    The trainer sees the examples in pool order: what was picked first must not matter to it.
    """

    def __init__(
        self,
        trainer: Any,
        chosen: Sequence[Example],
        model: ModelRef,
        seed: int,
        store: Store,
        say: Callable[[str], None],
        inputs: Sequence[str] = (),
    ) -> None:
        """`inputs`: the stages ("kind/name") that the choice of examples rests on."""
        self._trainer, self._chosen, self._base, self._seed = trainer, chosen, model, seed
        self._store, self._say, self._inputs = store, say, inputs
        self._identity = training_identity(trainer, chosen, model, seed)
        self.key = store.key(KIND, self._identity)

    def model(self) -> ModelRef:
        """The tuned model, fine-tuned now unless it is in the store."""
        stage = self._store.stage(KIND, self._identity, self._compute, inputs=self._inputs)
        return ModelRef(**_absolute(json.loads((stage.path / REF).read_text()), stage.path))

    def recall(self) -> Stage | None:
        """What fine-tuning cost and logged, also when its weights have been dropped."""
        return self._store.recall(KIND, self.key)

    @contextmanager
    def held(self, keep: bool) -> Iterator[None]:
        """Nobody else uses or drops the weights meanwhile; they are dropped afterwards unless `keep`, or unless
        an evaluation failed and will want them again."""
        with self._store.lock(f"use-{KIND}", self.key, "fine-tuning and evaluating"):
            yield
            if not keep:
                self._store.drop(KIND, self.key)

    def _compute(self, folder: Path) -> Mapping[str, float]:
        self._say(f"fine-tuning on {len(self._chosen)} examples")
        kept = self._store.checkpoint(KIND, self._identity)
        context = Context(seed=derive_seed(self._seed, "training"), scratch=folder, checkpoint=kept)
        tuned = self._trainer.train(self._chosen, self._base, context)
        write_json(folder / REF, _relative(dataclasses.asdict(tuned), folder))
        return context.logged


def training_identity(trainer: Any, chosen: Sequence[Example], model: ModelRef, seed: int) -> dict[str, Any]:
    """Everything that can change the weights. Two selectors that choose the same set share one fine-tuning."""
    return {
        "trainer": plugin_identity(trainer),
        "examples": digest([(example.id, example.content_hash) for example in chosen]),
        "model": fingerprint(model),
        "seed": seed,
    }


def _relative(ref: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths inside the stage's working folder, which will be renamed, become relative to it."""
    inside = {key: Path(ref[key]) for key in ("path", "adapter") if ref[key] and Path(ref[key]).is_relative_to(folder)}
    return {**ref, **{key: f"./{path.relative_to(folder)}" for key, path in inside.items()}}


def _absolute(ref: dict[str, Any], folder: Path) -> dict[str, Any]:
    inside = [key for key in ("path", "adapter") if ref[key] and (folder / ref[key]).exists()]
    return {**ref, **{key: str((folder / ref[key]).resolve()) for key in inside}}
