"""What every selector must do, one check each. The docstring of a check is the rule."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from selbench.api import Pool
from selbench.declare import drawn_once, features_needed
from selbench.errors import NotApplicable, PluginError, UndeclaredError
from selbench.run.select import check_selection
from selbench.store.keys import digest, spec_identity
from selbench.testing import common_rules
from selbench.testing.elsewhere import result_elsewhere
from selbench.testing.findings import Finding, NotTested, Raised, at_work, complaint, expect
from selbench.testing.order_rule import positions_do_not_matter, scores_are_of_examples
from selbench.testing.selector_work import (
    SEED,
    budget_of,
    difference,
    features_of,
    first_selection,
    parting,
    second_selection,
    seeded,
    selected,
    standard,
    watched,
)
from selbench.testing.shrinking import over_pool
from selbench.testing.subject import Subject
from selbench.testing.watched import globals_seeded

unchanging = common_rules.unchanging_result(first_selection, second_selection, parting)


def only_what_is_declared_is_used(subject: Subject, scratch: Path) -> None:
    """A selection depends on the seed, the target and the scorer only where `stochastic`, `targeted` and `uses_scorer`
    say so: otherwise one selection would serve them all."""
    pool, amount = standard(subject)
    try:
        first = first_selection(subject, scratch)
    except NotTested as skipped:
        if isinstance(cause := skipped.__cause__, Raised) and isinstance(cause.error, UndeclaredError):
            wanted = "a selector that asks its context only for what it is declared to depend on"
            raise Finding(wanted, str(cause.error), cause.where) from cause.error
        raise
    other = dataclasses.replace(subject.scorer, name="another", max_length=max(8, subject.scorer.max_length // 4))
    unchanging(subject, scratch)
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "stochastic": ("seed", {"seed": SEED + 1}),
        "targeted": ("target", {"target": {"other": subject.make_pool(9, seed=7)}}),
        "uses_scorer": ("scorer", {"scorer": other}),
    }
    for fact, (part, change) in changes.items():
        if not getattr(subject.example, fact):
            with globals_seeded(0):
                ids = selected(subject, pool, amount, scratch / fact, **{"seed": SEED, **change}).ids
            expect(
                ids == first.ids,
                f"one selection for every {part}, since the selector is not declared {fact}",
                f"with another {part} {difference(first.ids, ids)}",
                subject.place("select"),
            )


def a_selection_is_made(subject: Subject, scratch: Path) -> None:
    """`select` returns a Selection of an ordinary pool, and raises nothing but NotApplicable."""
    pool, amount = standard(subject)

    def select_once(pool: Pool) -> None:
        first = pool is standard(subject)[0]
        try:
            if first:
                subject.remember("first", lambda: seeded(subject, pool, amount, scratch / "first"))
            else:
                seeded(subject, pool, max(1, len(pool) // 4), scratch / str(len(pool)))
        except Raised as raised:
            if isinstance(raised.error, UndeclaredError):
                raise NotTested("it asks for what it has not declared, as another check says") from raised
            raise

    try:
        over_pool(pool, select_once)
    except NotApplicable as reason:
        raise NotTested(f"the selector does not apply to what it is checked with: {reason}") from reason


def same_seed_same_ids(subject: Subject, scratch: Path) -> None:
    """The same seed gives the same ids, in the same order."""
    first, second = first_selection(subject, scratch), second_selection(subject, scratch)
    pool, _ = standard(subject)

    def twice(part: Pool) -> None:
        amount = max(1, len(part) // 4)
        one = first if part is pool else seeded(subject, part, amount, scratch / "one")
        two = second if part is pool else seeded(subject, part, amount, scratch / "two")
        expect(
            one.ids == two.ids,
            f"the same ids from two calls with seed {SEED}",
            difference(one.ids, two.ids),
            subject.place("select"),
        )

    over_pool(pool, twice)


def exactly_the_budget(subject: Subject, scratch: Path) -> None:
    """Ids from the pool, no duplicates, exactly the budget; in tokens never more. Scores, where there are any, are one
    number for each id."""
    first_selection(subject, scratch)
    selector = subject.example
    if selector.selects_nothing:  # the framework never calls `select` of such a selector
        return

    def fills(pool: Pool) -> None:
        size = len(pool)
        amounts: list[tuple[int | float, str]] = [(n, "examples") for n in sorted({1, size // 6, size - 1, size} - {0})]
        amounts += [(0.25, "examples")] if size >= 4 else []
        amounts += [(max(1, sum(len(example.response.split()) for example in pool) // 4), "tokens")]
        for amount, unit in amounts if selector.takes_budget else amounts[:1]:
            budget = budget_of(selector, pool, amount, unit)
            try:
                found = selected(subject, pool, amount, scratch / f"{size}-{amount}-{unit}", unit=unit)
                check_selection(found, selector, pool, budget)
            except NotApplicable:
                continue
            except PluginError as wrong:
                said = complaint(wrong, selector)
                raise Finding(f"a selection for a budget of {amount} {unit}", said, subject.place("select")) from wrong

    try:
        over_pool(standard(subject)[0], fills)
    except Finding:
        subject.remembered["wrong budget"] = (True, None)
        raise


def smaller_budgets_are_prefixes(subject: Subject, scratch: Path) -> None:
    """Where `nested` is claimed, the selection for a smaller budget is a prefix of the one for a larger."""
    unchanging(subject, scratch)
    if not subject.example.nested:
        raise NotTested("it is not declared nested: each budget is selected by itself")
    if not subject.example.takes_budget:
        return

    def nested(pool: Pool) -> None:
        large = selected(subject, pool, max(1, len(pool) // 2), scratch / "large").ids
        for amount in sorted({1, len(pool) // 8, len(pool) // 3} - {0}):
            small = selected(subject, pool, amount, scratch / str(amount)).ids
            expect(
                small == large[:amount],
                f"the selection for a budget of {amount} to be the beginning of that for {len(large)}",
                difference(large[:amount], small),
                subject.place("select"),
            )

    over_pool(standard(subject)[0], _where_it_applies(nested))


def order_of_the_pool_does_not_matter(subject: Subject, scratch: Path) -> None:
    """A shuffled pool gives the same choice except for ties: at the first pick that differs, the scores are equal. Where
    chance decides, an example's position makes it neither more nor less likely to be chosen."""
    unchanging(subject, scratch)
    pool, amount = standard(subject)
    if subject.example.stochastic:
        positions_do_not_matter(
            pool,
            lambda part, seed: selected(subject, part, amount, scratch / f"order-{seed}", seed=seed),
            subject.place("select"),
        )
        return

    def shuffled(pool: Pool) -> None:
        amount = max(1, len(pool) // 3)
        mixed = Pool(random.Random(1).sample(list(pool), len(pool)), pool.name)
        one, other = (selected(subject, part, amount, scratch / "order") for part in (pool, mixed))
        # Equal sets in another order are fine: only the choice is checked, not the order of ties within it.
        if set(one.ids) == set(other.ids):
            return
        parting = next(i for i, (a, b) in enumerate(zip(one.ids, other.ids)) if a != b)
        wanted = "the same choice from a shuffled pool, or equal scores where the choices part"
        came = f"at pick {parting + 1} {one.ids[parting]!r}, and from the shuffled pool {other.ids[parting]!r}"
        if one.scores is None or other.scores is None:
            raise Finding(wanted, f"{came}, without scores that would show a tie", subject.place("select"))
        expect(
            bool(np.isclose(one.scores[parting], other.scores[parting], rtol=1e-4)),
            wanted,
            f"{came}, with scores {one.scores[parting]:.6g} and {other.scores[parting]:.6g}",
            subject.place("select"),
        )
        whole, reordered = (selected(subject, part, len(pool), scratch / "whole") for part in (pool, mixed))
        scores_are_of_examples(whole, reordered, subject.place("select"))

    over_pool(pool, _where_it_applies(shuffled))


def edge_pools_work(subject: Subject, scratch: Path) -> None:
    """A pool of one example, a pool of identical examples, and a budget of the whole pool give valid selections or
    NotApplicable."""
    first_selection(subject, scratch)
    selector = subject.example
    if selector.selects_nothing:
        return
    if "wrong budget" in subject.remembered:
        raise NotTested("an ordinary pool does not get its budget either, as another check says")
    one = subject.make_pool(1)
    same = Pool([dataclasses.replace(one[0], id=f"same{i}") for i in range(9)], "same")
    whole = subject.make_pool(17)
    cases: list[tuple[str, Pool, int | float]] = [
        ("one example", one, 1),
        ("nine identical examples", same, 4),
        ("nine identical examples, all of them", same, 9),
        (f"all of {len(whole)} examples", whole, 1.0),
    ]
    refused = []
    for name, pool, amount in cases:
        try:
            found = selected(subject, pool, amount, scratch / name.replace(" ", "-"))
            check_selection(found, selector, pool, budget_of(selector, pool, amount))
        except NotApplicable as reason:
            refused.append(str(reason))
        except Raised as raised:
            advice = "a selection, or NotApplicable where the method cannot work"
            raise Finding(f"from {name}: {advice}", raised.found, raised.where) from raised
        except PluginError as wrong:
            said = complaint(wrong, selector)
            raise Finding(f"a valid selection from {name}", said, subject.place("select")) from wrong
    if len(refused) == len(cases):
        raise NotTested(f"it applies to none of the edge cases: {refused[0]}")


def needs_names_the_features(subject: Subject, scratch: Path) -> None:
    """Where there is a `needs`, it returns every feature that `select` asks its context for: the plan knows no others."""
    first_selection(subject, scratch)
    if not hasattr(subject.example, "needs"):
        raise NotTested("it has no needs(): a plan assumes one pass over the pool where it uses the scorer")
    with at_work(subject.example, "needs", "a list of features from needs(seed)"):
        announced = {seed: _features_named(subject.example, seed) for seed, _ in features_of(subject).asked}
    asked = {(seed, digest(spec_identity(spec))): spec for seed, spec in features_of(subject).asked}
    missing = sorted({type(spec).__name__ for (seed, name), spec in asked.items() if name not in announced[seed]})
    expect(not missing, "the features that select() asks for", f"without {', '.join(missing)}", subject.place("needs"))


def _features_named(selector: Any, seed: int) -> set[str]:
    """Hashes of the features that `needs` announces for a context with this seed."""
    return {digest(spec_identity(spec)) for spec in features_needed(selector, seed if selector.stochastic else 0)}


def what_is_drawn_once_is_named(subject: Subject, scratch: Path) -> None:
    """`drawn_once` names what all seeds share, as a text or a list of texts; as a method, for every pool and target."""
    try:
        drawn_once(subject.example, standard(subject)[0], subject.targets())
    except PluginError as wrong:
        said = complaint(wrong, subject.example)
        where = subject.place("drawn_once") or subject.place("select")
        raise Finding("a text, or a list of texts, as drawn_once", said, where) from wrong


def two_processes_agree(subject: Subject, scratch: Path) -> None:
    """Another process, with another hash seed, chooses the same."""
    here = unchanging(subject, scratch).ids
    there = tuple(result_elsewhere(subject, work_elsewhere(subject, scratch)))
    expect(
        tuple(map(str, here)) == there,
        "the same ids in another process (sets and hash() have another order there)",
        difference(here, there),
        subject.place("select"),
    )


def work_elsewhere(subject: Subject, scratch: Path) -> dict[str, Any]:
    """What the other process is asked to do."""
    pool, amount = standard(subject)
    return {"pool": pool, "amount": amount, "seed": SEED, "scratch": str(scratch / "elsewhere")}


def _where_it_applies(probe: Callable[[Pool], None]) -> Callable[[Pool], None]:
    """The same, and NotTested for a pool or a budget that the selector does not apply to."""

    def run(pool: Pool) -> None:
        try:
            probe(pool)
        except NotApplicable as reason:
            raise NotTested(f"the selector does not apply to these examples or budgets: {reason}") from reason

    return run


watching = common_rules.watching(watched, parting, unchanging)

selector_checks: tuple[Callable[[Subject, Path], None], ...] = (
    common_rules.options_round_trip,
    only_what_is_declared_is_used,
    a_selection_is_made,
    same_seed_same_ids,
    exactly_the_budget,
    smaller_budgets_are_prefixes,
    order_of_the_pool_does_not_matter,
    edge_pools_work,
    needs_names_the_features,
    what_is_drawn_once_is_named,
    *watching,
    two_processes_agree,
)
