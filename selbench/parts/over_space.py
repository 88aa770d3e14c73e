"""The base of selectors that are made of parts: their facts, features, checks and keys follow from space and rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench.api import Budget, Context, FeatureSpec, ModelRef, Pool, Selection, name_and_options
from selbench.parts.part import Kind, made_part, part_identity, require_pair


def part_option(kind: Kind, default: str) -> Any:
    """An option of a selector whose value is a part."""
    return dataclasses.field(default=default, metadata={"part": kind})


class OverSpace:
    """A selector with an option `space`, whose rule is the selector itself unless it has an option `rule`.

    A selector with a rule of its own has two bases, `class Mine(OverSpace, ARule)`, so that the rule's options are its own.
    """

    space: Any
    plugin_name: str

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            if kind := item.metadata.get("part"):
                setattr(self, item.name, made_part(kind, getattr(self, item.name)))
        if own := getattr(super(), "__post_init__", None):
            own()
        require_pair(self.space, self.chosen_rule, "" if self.chosen_rule is not self else self.plugin_name)

    @property
    def chosen_rule(self) -> Any:
        """The rule by which it chooses."""
        return getattr(self, "rule", self)

    @property
    def stochastic(self) -> bool:
        return bool(self.space.is_random or self.chosen_rule.is_random)

    @property
    def nested(self) -> bool:
        return bool(self.chosen_rule.is_ranking)

    @property
    def uses_scorer(self) -> bool:
        return bool(self.space.uses_scorer)

    @property
    def may_stop_short(self) -> bool:
        return bool(self.chosen_rule.stops_short)

    def drawn_once(self, pool: Pool, target: Mapping[str, Pool]) -> Sequence[str]:
        """What the space has drawn once for all seeds."""
        return list(self.space.drawn_once(pool, target))

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`: vectors that need no model."""
        return {"space": "tfidf"}

    def label(self) -> str:
        """The name with the options that differ from their defaults."""
        usual = [
            item.name
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if (kind := item.metadata.get("part")) and made_part(kind, item.default) == getattr(self, item.name)
        ]
        return name_and_options(self, but=usual)

    def identity(self) -> dict[str, Any]:
        """The options for the key, with the content of files in place of their paths."""
        rule = self.chosen_rule
        parts = {"space": part_identity(self.space)}
        if rule is not self:
            return {**parts, "rule": part_identity(rule)}
        own = self.rule_identity()
        return {**{name: value for name, value in own.items() if name != "space"}, **parts}

    def rule_identity(self) -> dict[str, Any]:
        """The options of a rule of its own."""
        with_file = getattr(self, "scores_identity", None)
        return with_file() if with_file else dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    def check(self) -> None:
        """Raises UserError for mistakes of space or rule that show before any work."""
        self.space.check()
        self._of_rule("check")

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for what a file of space or rule lacks of the pool."""
        self.space.check_budget(budget)
        self._of_rule("check_budget", budget)

    def check_scorer(self, scorer: ModelRef) -> Sequence[str]:
        """Sentences of the space that warn; raises UserError for a scorer that it cannot work with."""
        return list(self.space.check_scorer(scorer))

    def _of_rule(self, method: str, *given: Any) -> None:
        """Call a check of the rule: of the option, or of the base after this one."""
        rule = self.chosen_rule
        getattr(rule if rule is not self else super(), method)(*given)

    def needs(self, seed: int) -> Sequence[FeatureSpec]:
        """The features of the space."""
        return list(self.space.needs(seed))

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        found: Selection = self.chosen_rule.choose(self.space, pool, budget, context)
        return found
