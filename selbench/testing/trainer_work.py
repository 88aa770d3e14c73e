"""Trainings as the checks of trainers make them: as a run does, without its store."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from selbench.api import Context, Example, ModelRef, Pool
from selbench.errors import NotApplicable, PluginError
from selbench.run.output_change import ROUNDING
from selbench.run.train import checked_model
from selbench.testing.example_pools import copied
from selbench.testing.findings import Finding, NotTested, at_work, complaint
from selbench.testing.model_copies import apart, outputs
from selbench.testing.subject import Subject
from selbench.testing.two_calls import first_result, second_result
from selbench.testing.watched import Watched, watched_call

T = TypeVar("T")
SIZE = 12
SEED = 3
# Two trainings are the same where their outputs differ by less than this share of what training changed.
SAME = 0.02


class StoppedHereError(Exception):
    """Raised by the progress bar of an interrupted training."""


@dataclass(frozen=True)
class Trained:
    """One training."""

    model: ModelRef
    logged: Mapping[str, float]


class _Bar(Context):
    """A context whose progress bar stops a training halfway, and counts."""

    stop = False
    steps = 0

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        found = list(items)
        for number, item in enumerate(found):
            if self.stop and number >= max(1, len(found) // 2):
                raise StoppedHereError
            self.steps += 1
            yield item


def trained(
    subject: Subject,
    examples: Sequence[Example],
    folder: Path,
    seed: int = SEED,
    *,
    model: ModelRef | None = None,
    checkpoint: Path | None = None,
    stop: bool = False,
) -> Trained:
    """A training, after which its folder is renamed as a run renames it.

    Raises Finding for what a run refuses, and with what the trainer raised; StoppedHereError where it was stopped.
    """
    trainer = subject.build()
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    context = _Bar(seed=seed, scratch=work, checkpoint=checkpoint)
    context.stop = stop
    with at_work(trainer, "train", "a ModelRef from train()"):
        try:
            found = trainer.train(list(examples), dataclasses.replace(model or subject.scorer), context)
        except StoppedHereError as stopped:
            raise NotApplicable("stopped") from stopped
    if stop:
        raise NotTested("it draws no progress bar with context.progress(), so there is nowhere to interrupt it")
    try:
        ref = checked_model(found, trainer)
    except PluginError as wrong:
        said = complaint(wrong, trainer)
        raise Finding("a ModelRef whose folders exist, from train()", said, subject.place("train")) from wrong
    work.rename(folder / "kept")
    return Trained(_at_new_path(ref, work, folder / "kept"), dict(context.logged))


def _at_new_path(ref: ModelRef, before: Path, after: Path) -> ModelRef:
    changes: dict[str, Any] = {}
    for name in ("path", "adapter"):
        value = getattr(ref, name)
        if value and Path(value).is_relative_to(before):
            changes[name] = str(after / Path(value).relative_to(before))
    return dataclasses.replace(ref, **changes)


def standard(subject: Subject) -> Pool:
    """The examples of most checks."""
    pool: Pool = subject.remember("pool", lambda: subject.make_pool(SIZE))
    # Of which no call has had the examples in its hands.
    subject.remember("untouched", lambda: copied(pool))
    return pool


def first_training(subject: Subject, scratch: Path) -> Trained:
    """The training that other checks compare theirs with. Raises NotTested if there is none."""
    return first_result(subject, lambda: trained(subject, standard(subject), scratch / "first"))


def second_training(subject: Subject, scratch: Path) -> Trained:
    """The same training once more."""
    return second_result(subject, lambda: trained(subject, standard(subject), scratch / "second"))


def watched(subject: Subject, folder: Path) -> Watched:
    """A training under watch, the same as the first one. Raises NotTested if there is no first one."""
    first_training(subject, folder)
    pool: Pool = subject.remembered["untouched"][0]
    given = list(pool)

    def watch() -> Watched:
        return watched_call(
            subject.example,
            "train",
            lambda: trained(subject, given, folder / "watched"),
            folder,
            given=[given],
            hidden=pool,
        )

    seen: Watched = subject.remember("watched", watch)
    return seen


def difference(subject: Subject) -> Callable[[Trained, Trained], str]:
    """How the outputs of two trained models differ, in words; empty where it is rounding beside what training changed."""

    def compare(one: Trained, other: Trained) -> str:
        first = outputs_of(subject, one.model)
        change, gap = apart(outputs_of(subject, subject.scorer), first), apart(first, outputs_of(subject, other.model))
        if np.isnan([gap, change]).any():  # outputs that are no numbers, which another check says
            return ""
        if gap <= max(SAME * change, 10 * ROUNDING):
            return ""
        return f"the outputs of the two models differ by {gap:.2g} of the largest logit, where training changed {change:.2g}"

    return compare


def outputs_of(subject: Subject, model: ModelRef) -> list[np.ndarray]:
    """The outputs of a model on the examples of the checks, computed once."""
    found: list[np.ndarray] = subject.remember(
        f"outputs of {model.path} {model.adapter}", lambda: outputs(model, list(standard(subject)))
    )
    return found
