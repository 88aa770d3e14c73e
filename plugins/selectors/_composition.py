"""What selectors that are made of other selectors have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from selbench.api import Budget, FeatureSpec, Part, UserError, held_parts, name_and_options

Amount = float | int | None  # a share (float) or a number (int) of examples; None where none is said


class Composition:
    """A selector that is made of others: its facts follow from theirs."""

    plugin_name: str
    stochastic: bool
    targeted: bool
    uses_scorer: bool
    needs: Callable[[int], list[FeatureSpec]]

    @property
    def parts(self) -> list[Part]:
        """The selectors that it is made of, in their order, with the number that stands with each."""
        return held_parts(self)

    def follow_parts(self) -> None:
        """Set the facts that hold for the whole if they hold for one part."""
        selectors = [part.selector for part in self.parts]
        self.stochastic = any(one.stochastic for one in selectors)
        self.targeted = any(one.targeted for one in selectors)
        self.uses_scorer = any(one.uses_scorer for one in selectors)
        if all(hasattr(one, "needs") for one in selectors):  # else the plan is to know that there may be others
            self.needs = no_features

    def require_parts(self, option: str, example: str) -> None:
        """Raises UserError where no part is named, and for a part that takes no budget."""
        if not self.parts:
            raise UserError(
                f"selector '{self.plugin_name}' has no parts: set selector.{self.plugin_name}.{option}={example}."
            )
        for part in self.parts:
            if part.selector.share is not None:
                raise UserError(
                    f"selector '{self.plugin_name}': {label_of(part.selector)} takes no budget, so it cannot be a part."
                )


def no_features(seed: int = 0) -> list[FeatureSpec]:
    """What a composition asks for itself: its parts name their features."""
    return []


def label_of(selector: Any) -> str:
    """What a selector is called on boards."""
    return str(selector.label()) if hasattr(selector, "label") else name_and_options(selector)


def labels_of(parts: Sequence[Part], amount: str) -> list[str]:
    """What parts are called, each with its number: `longest keep=0.4`."""
    numbers = ["" if part.amount is None else f" {amount}={part.amount}" for part in parts]
    return [f"{label_of(part.selector)}{number}" for part, number in zip(parts, numbers)]


def require_share_or_number(amount: Amount, who: str) -> None:
    """Raises UserError, which begins with `who`, for a number that is neither a share of examples nor a number of them."""
    if amount is None:
        return
    if isinstance(amount, float) and not 0 < amount <= 1:
        raise UserError(f"{who} is not a share above 0 and at most 1.0; for a number of examples write a whole number.")
    if amount < 1 and not isinstance(amount, float):
        raise UserError(f"{who} is no number of examples: valid from 1, or a share above 0 and at most 1.0.")


def count_of(amount: float | int, of: int) -> int:
    """How many of so many examples a share (rounded down) or a number is."""
    return int(np.floor(round(amount * of, 9))) if isinstance(amount, float) else min(int(amount), of)


def examples_budget(ids: tuple[str, ...], limit: int) -> Budget:
    """The budget of so many of the examples with these ids."""
    return Budget(ids, np.broadcast_to(np.int64(1), len(ids)), limit)


def in_proportion(lists: Sequence[Sequence[int]]) -> list[int]:
    """All values of several lists, so that every beginning holds about the same share of each; ties to the earlier list."""
    placed = [((rank + 0.5) / len(each), n, value) for n, each in enumerate(lists) for rank, value in enumerate(each)]
    return [value for _, _, value in sorted(placed)]


def in_turn(lists: Iterable[Sequence[int]]) -> list[int]:
    """The distinct values of several lists: each list in turn gives its next one that has not been given yet."""
    waiting = [iter(each) for each in lists]
    given: dict[int, None] = {}
    while waiting:
        for one in [*waiting]:
            found = next((value for value in one if value not in given), None)
            if found is None:
                waiting.remove(one)
            else:
                given[found] = None
    return [*given]
