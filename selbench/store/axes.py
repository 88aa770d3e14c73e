"""The axes of a run, which tell it apart from others on a leaderboard, and the names made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from selbench.errors import UserError


@dataclass(frozen=True)
class Axes:
    """The words that tell runs apart on a leaderboard; None where an arm does not have that axis.

    The keys are hashes of what the names stand for: two runs with the same names may differ in their keys.
    """

    pool: str = ""
    selector: str = ""  # the arm's label
    budget: int | float | None = None  # a float is a share of the pool
    budget_unit: str = "examples"
    scorer: str | None = None
    target: str | None = None  # the names of the capabilities, joined by +
    model: str = ""
    trainer: str | None = None
    match: str | None = None  # what the trainer holds equal between arms: epochs, steps or tokens
    suites: tuple[str, ...] = ()
    seed: int | None = None
    pool_key: str = ""
    trainer_key: str | None = None
    suite_keys: Mapping[str, str] = field(default_factory=dict)
    # The selector's name with the options that differ from their defaults; None in records of format 1. Two different
    # arms under one label differ in it.
    selector_key: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Axes:
        """From the plain data of a record; fields that this version does not know are left out."""
        known = {item.name for item in dataclasses.fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        return cls(
            **{**values, "suites": tuple(values.get("suites") or ()), "suite_keys": values.get("suite_keys") or {}}
        )

    def plain(self) -> dict[str, Any]:
        """As record.json holds them."""
        return dataclasses.asdict(self)

    @property
    def arm(self) -> str:
        """The arm as the leaderboard calls it, e.g. `mads via planted-1m`."""
        return arm_name(self.selector, self.scorer, self.model)

    @property
    def budget_label(self) -> str:
        """`15%`, `7800`, `50000 tok`; empty for an arm without a budget (base, full)."""
        if self.budget is None:
            return ""
        amount = f"{100 * self.budget:.6g}%" if isinstance(self.budget, float) else f"{self.budget}"
        return amount if self.budget_unit == "examples" else f"{amount} tok"

    @property
    def name(self) -> str:
        """A readable name of one run, e.g. `mads 15% big via small s3`.

        The scorer is named only where it is not the model, the seed only where the arm has one.
        """
        seed = "" if self.seed is None else f" s{self.seed}"
        words = " ".join(f"{self.selector} {self.budget_label} {self.model}".split())
        return words + _via_scorer(self.scorer, self.model) + seed


def arm_name(selector: str, scorer: str | None, model: str) -> str:
    """`SELECTOR via SCORER`, or the selector's label alone where the model is its own scorer."""
    return selector + _via_scorer(scorer, model)


def _via_scorer(scorer: str | None, model: str) -> str:
    return f" via {scorer}" if scorer and scorer != model else ""


def require_distinct_labels(arms: Iterable[Axes]) -> None:
    """Raises UserError if two different selectors have one label: their runs would be taken for those of one arm."""
    known: dict[str, str] = {}
    for axes in arms:
        if axes.selector_key is None:
            continue
        other = known.setdefault(axes.arm, axes.selector_key)
        if other != axes.selector_key:
            raise UserError(
                f"two different arms are called '{axes.arm}': {other} and {axes.selector_key}. Runs of both cannot stand on "
                "one board: let the selector's label() tell them apart, or leave one of them out."
            )
