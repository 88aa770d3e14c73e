"""What every trainer must do, one check each. The docstring of a check is the rule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.errors import NotApplicable
from selbench.libraries import quiet
from selbench.models import load_model, load_tokenizer, training_context
from selbench.run.output_change import ROUNDING
from selbench.run.training_lengths import measured_lengths
from selbench.testing import common_rules
from selbench.testing.elsewhere import result_elsewhere
from selbench.testing.example_pools import odd_examples
from selbench.testing.findings import Finding, NotTested, expect
from selbench.testing.model_copies import apart, response_loss
from selbench.testing.shrinking import over_pool
from selbench.testing.subject import Subject
from selbench.testing.trainer_work import (
    SEED,
    StoppedHereError,
    Trained,
    difference,
    first_training,
    outputs_of,
    second_training,
    standard,
    trained,
    watched,
)
from selbench.testing.watched import globals_seeded

SHORT = 24  # the training context of the check of max_length, in tokens
RISE = 1.02  # a loss that grows by more than this factor has been trained the wrong way


def a_model_is_made(subject: Subject, scratch: Path) -> None:
    """`train` returns a ModelRef of folders under context.scratch, from which transformers loads a model and its
    tokenizer, also after the folder has been renamed."""
    try:
        _make_model(subject, scratch)
    except Finding:
        subject.remembered["wrong model"] = (True, None)
        raise


def _make_model(subject: Subject, scratch: Path) -> None:
    pool = standard(subject)

    def train(part: Pool) -> None:
        if part is pool:
            try:
                first_training(subject, scratch)
            except NotTested as skipped:
                if isinstance(skipped.__cause__, Finding):
                    raise skipped.__cause__ from skipped
                raise
        else:
            trained(subject, part, scratch / "part")

    over_pool(pool, train)
    found = first_training(subject, scratch).model
    where = subject.place("train")
    for name in ("path", "adapter"):
        value = getattr(found, name)
        kept = not value or value == getattr(subject.scorer, name) or Path(value).is_relative_to(scratch / "first")
        wanted = f"a {name} in a folder of context.scratch, or that of the model it was given"
        expect(kept, wanted, f"{value}: what lies elsewhere is not kept, and another cell may write over it", where)
    try:
        with quiet():
            load_tokenizer(found)
            load_model(found)
    except Exception as error:  # of transformers, peft or the files
        wanted = "a model that transformers loads after its folder has been renamed, with its tokenizer"
        raise Finding(wanted, f"{type(error).__name__}: {error}", where) from error


def the_model_is_changed(subject: Subject, scratch: Path) -> None:
    """The trained model gives other outputs than the one it was made of."""
    found = _loadable(subject, scratch)
    after = outputs_of(subject, found.model)
    if not all(np.isfinite(row).all() for row in after):
        raise NotTested("its outputs are no finite numbers, as another check says")
    change = apart(outputs_of(subject, subject.scorer), after)
    expect(
        change > ROUNDING,
        "outputs that differ from those of the model it was given",
        "the same outputs: nothing was trained, or something else was saved",
        subject.place("train"),
    )


def the_loss_falls(subject: Subject, scratch: Path) -> None:
    """The loss on the responses that were trained on is finite and does not rise."""
    found = _loadable(subject, scratch)
    examples = list(standard(subject))
    longest = training_context(subject.scorer).tokens
    before, after = (response_loss(ref, examples, longest) for ref in (subject.scorer, found.model))
    expect(
        math.isfinite(after) and after <= RISE * before,
        f"a loss on the training examples of {before:.3f} nats a token or less",
        f"{after:.3f} after training",
        subject.place("train"),
    )


def _loadable(subject: Subject, scratch: Path) -> Trained:
    """The first training. Raises NotTested if its model cannot be loaded."""
    found = first_training(subject, scratch)
    if "wrong model" in subject.remembered:
        raise NotTested("the model is not where it should be, as another check says")

    def load() -> None:
        with quiet():
            load_tokenizer(found.model)
            load_model(found.model)

    try:
        subject.remember("loads", load)
    except Exception as error:
        raise NotTested("its model cannot be loaded, as another check says") from error
    return found


def same_seed_same_model(subject: Subject, scratch: Path) -> None:
    """The same examples and the same seed give the same model."""
    first = _loadable(subject, scratch)
    said = difference(subject)(first, second_training(subject, scratch))
    expect(not said, f"the same model from two trainings with seed {SEED}", said, subject.place("train"))


def the_context_is_kept(subject: Subject, scratch: Path) -> None:
    """No forward pass reads more tokens of an example than model.max_length, the training context."""
    first_training(subject, scratch)
    model = dataclasses.replace(subject.scorer, max_length=SHORT)
    with longest_read() as seen:
        try:
            trained(subject, [*standard(subject), *odd_examples()], scratch / "short", model=model)
        except NotApplicable as reason:
            raise NotTested(f"the trainer does not apply with max_length={SHORT}: {reason}") from reason
        except Finding as finding:
            if not seen:
                raise NotTested("it cannot be trained on odd examples, as another check says") from finding
    if not seen:
        raise NotTested("no forward pass was seen in this process")
    expect(
        max(seen) <= SHORT,
        f"passes over at most {SHORT} tokens with model.max_length={SHORT}",
        f"one over {max(seen)} tokens",
        subject.place("train"),
    )


@contextmanager
def longest_read() -> Iterator[set[int]]:
    """Yields the set of the numbers of tokens that embeddings in this process are asked for, per row."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    seen: set[int] = set()

    def look(module: Any, given: Any) -> None:
        if isinstance(module, torch.nn.Embedding) and given and torch.is_tensor(given[0]) and given[0].ndim:
            seen.add(int(given[0].shape[-1]))

    hook = register_module_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


def what_it_logs_is_true(subject: Subject, scratch: Path) -> None:
    """What it logs are finite numbers; `trained_examples`, `truncated_examples` and `dropped_examples`, where it logs
    them, are those that the training context makes of the examples."""
    first_training(subject, scratch)
    where = subject.place("train")
    pool = Pool([*standard(subject), *odd_examples()], "odd")
    model = dataclasses.replace(subject.scorer, max_length=2 * SHORT)
    try:
        found = trained(subject, list(pool), scratch / "counted", model=model)
    except (Finding, NotApplicable) as other:
        raise NotTested("it cannot be trained on odd examples, which another check looks at") from other
    for name, value in found.logged.items():
        expect(math.isfinite(value), f"a finite number for {name}", f"{value}", where)
    if not found.logged:
        raise NotTested("it logs nothing: the record will not say what was trained on")
    lower = getattr(subject.example, "max_length", None)
    context = training_context(model, lower if isinstance(lower, int) else None)
    lengths = measured_lengths(pool, load_tokenizer(model))
    kept = int((lengths.in_loss(context.tokens) > 0).sum())
    measured = {
        "truncated_examples": int((lengths.tokens > context.tokens).sum()),
        "dropped_examples": len(pool) - kept,
    }
    for name, count in measured.items():
        if name in found.logged:
            expect(
                found.logged[name] == count,
                f"{name}={count} with {len(pool)} examples and a context of {context.tokens} tokens",
                f"{found.logged[name]:g}",
                where,
            )
    seen = found.logged.get("trained_examples")
    wanted = f"at most {kept} trained_examples of {len(pool)}, those with a response within {context.tokens} tokens"
    expect(seen is None or 0 < seen <= kept, wanted, f"{seen:g}" if seen is not None else "", where)


def odd_examples_work(subject: Subject, scratch: Path) -> None:
    """A single example, and examples with history, system prompts, inputs, long responses and any script, are trained on,
    or refused with NotApplicable."""
    first_training(subject, scratch)
    single = list(standard(subject))[:1]
    for name, examples in (("one example", single), ("odd examples", odd_examples())):
        try:
            if name == "one example":
                trained(subject, examples, scratch / "single")
            else:
                over_pool(Pool(examples, "odd"), lambda part: _train_part(subject, part, scratch / "odd"))
        except NotApplicable:
            continue
        except Finding as finding:
            wanted = f"from {name}: a model, or NotApplicable where the method cannot work"
            raise Finding(wanted, finding.found, finding.where, finding.smallest) from finding


def _train_part(subject: Subject, part: Pool, folder: Path) -> None:
    trained(subject, list(part), folder)


def an_interrupted_training_goes_on(subject: Subject, scratch: Path) -> None:
    """A training that was interrupted and is called again with the same context.checkpoint gives the model that it gives
    uninterrupted."""
    first = _unchanging(subject, scratch)[1]
    kept = scratch / "checkpoint"
    kept.mkdir(parents=True, exist_ok=True)
    try:
        with globals_seeded(0):
            trained(subject, standard(subject), scratch / "stopped", checkpoint=kept, stop=True)
    except NotApplicable as stopped:
        if not isinstance(stopped.__cause__, StoppedHereError):
            raise
    with globals_seeded(0):
        again = trained(subject, standard(subject), scratch / "resumed", checkpoint=kept)
    said = difference(subject)(first, again)
    expect(not said, "the same model as without the interruption", said, subject.place("train"))


def two_processes_agree(subject: Subject, scratch: Path) -> None:
    """Another process, with another hash seed, makes the same model."""
    first = _unchanging(subject, scratch)[1]
    there = Trained(ModelRef(**result_elsewhere(subject, work_elsewhere(subject, scratch))), {})
    said = difference(subject)(first, there)
    expect(
        not said,
        "the same model in another process (sets and hash() have another order there)",
        said,
        subject.place("train"),
    )


def work_elsewhere(subject: Subject, scratch: Path) -> dict[str, Any]:
    """What the other process is asked to do."""
    return {"pool": standard(subject), "seed": SEED, "scratch": str(scratch / "elsewhere")}


def _first_with_subject(subject: Subject, scratch: Path) -> tuple[Subject, Trained]:
    return subject, _loadable(subject, scratch)


def _difference(one: tuple[Subject, Trained], other: Trained) -> str:
    return difference(one[0])(one[1], other)


_unchanging = common_rules.unchanging_result(_first_with_subject, second_training, _difference)


watching = common_rules.watching(watched, _difference, _unchanging)

trainer_checks: tuple[Callable[[Subject, Path], None], ...] = (
    common_rules.options_round_trip,
    a_model_is_made,
    the_model_is_changed,
    the_loss_falls,
    same_seed_same_model,
    the_context_is_kept,
    what_it_logs_is_true,
    odd_examples_work,
    an_interrupted_training_goes_on,
    *watching,
    two_processes_agree,
)
