"""Selections as the checks of selectors make them: as a run does, without its store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Budget, Context, Pool, Selection
from selbench.testing.example_pools import copied
from selbench.testing.findings import Finding, NotTested, at_work
from selbench.testing.subject import Features, Subject
from selbench.testing.two_calls import first_result, second_result
from selbench.testing.watched import Watched, globals_seeded, watched_call

SIZE = 40  # examples of the pool that most checks use
SEED = 5


def selected(
    subject: Subject,
    pool: Pool,
    amount: int | float,
    folder: Path,
    seed: int = 0,
    unit: str = "examples",
    *,
    fresh: bool = False,
    **context: Any,
) -> Selection:
    """The selection as `select` gives it; a budget in tokens counts words of the response.

    Features are those of earlier checks unless `fresh`. `context` replaces parts of the selector's context. Raises
    Finding for what is no selection, and with what the selector raised; NotApplicable as the selector does.
    """
    selector = subject.build()
    if selector.selects_nothing:  # the framework never calls `select` of such a selector
        return Selection(())
    budget = budget_of(selector, pool, amount, unit)
    folder.mkdir(parents=True, exist_ok=True)
    given = {"seed": seed, "scorer": dataclasses.replace(subject.scorer), "target": subject.targets(), **context}
    store = features_of(subject).provider(fresh, seed)
    with at_work(selector, "select", "a Selection from select()"):
        found = selector.select(
            pool, budget, Context(pool, scratch=folder, selector=selector, feature_store=store, **given)
        )
        ids = getattr(found, "ids", None)
    if not isinstance(found, Selection) or not isinstance(ids, list | tuple | np.ndarray):
        what = f"a Selection whose ids are a {type(ids).__name__}" if isinstance(found, Selection) else repr(found)[:80]
        raise Finding("a Selection whose ids are a tuple, from select()", what, subject.place("select"))
    return dataclasses.replace(found, ids=tuple(ids))


def budget_of(selector: Any, pool: Pool, amount: int | float, unit: str = "examples") -> Budget:
    """The budget as a run makes it, with the words of a response as its tokens."""
    # Words stand in for tokens: a check needs a unit other than examples, and no tokenizer.
    tokens = [max(1, len(example.response.split())) for example in pool] if unit == "tokens" else None
    if not selector.takes_budget:
        amount, unit = float(selector.share) or 1e-9, "examples"
        if int(len(pool) * amount) < 1:
            raise NotTested(f"it takes a share of {selector.share}, which is no example of {len(pool)}")
    return Budget.of(pool, amount, unit, tokens)


def features_of(subject: Subject) -> Features:
    """The features that the checks of this subject have computed so far."""
    features: Features = subject.remembered.setdefault("features", (Features(), None))[0]
    return features


def standard(subject: Subject) -> tuple[Pool, int]:
    """The pool of most checks, and how many of it are selected."""
    pool: Pool = subject.remember("pool", lambda: subject.make_pool(SIZE))
    # Of which no call has had the examples in its hands.
    subject.remember("untouched", lambda: copied(pool))
    return pool, max(1, len(pool) // 4)


def first_selection(subject: Subject, folder: Path) -> Selection:
    """The selection that other checks compare theirs with. Raises NotTested if there is none."""
    pool, amount = standard(subject)
    return first_result(subject, lambda: seeded(subject, pool, amount, folder / "first"))


def seeded(subject: Subject, pool: Pool, amount: int, folder: Path, seed: int = SEED) -> Selection:
    with globals_seeded(0):
        return selected(subject, pool, amount, folder, seed=seed, fresh=True)


def second_selection(subject: Subject, folder: Path) -> Selection:
    """The same selection made once more, with nothing kept of the first."""
    pool, amount = standard(subject)
    return second_result(subject, lambda: seeded(subject, pool, amount, folder / "second"))


def parting(one: Selection, other: Selection) -> str:
    """Where two selections part, in words; empty where they are the same."""
    return "" if one.ids == other.ids else difference(one.ids, other.ids)


def difference(one: Any, other: Any) -> str:
    """Where two lists of ids part, in words."""
    if len(one) != len(other):
        return f"{len(other)} ids instead of {len(one)}"
    where = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), None)
    if where is None:
        return "the same ids"
    shared = len(set(one) & set(other))
    picks = f"{str(other[where])!r} instead of {str(one[where])!r}"
    return f"pick {where + 1} is {picks} ({shared} of {len(one)} ids in common)"


def watched(subject: Subject, folder: Path) -> Watched:
    """A selection under watch, the same as the first one. Raises NotTested if there is no first one."""
    first_selection(subject, folder)
    _, amount = standard(subject)
    pool: Pool = subject.remembered["untouched"][0]

    def watch() -> Watched:
        target = subject.targets()
        return watched_call(
            subject.example,
            "select",
            lambda: selected(subject, pool, amount, folder / "watched", seed=SEED, fresh=True, target=target),
            folder,
            given=[pool, *target.values()],
            hidden=pool,
        )

    seen: Watched = subject.remember("watched", watch)
    return seen
