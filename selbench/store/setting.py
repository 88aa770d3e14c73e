"""The one definition of when two runs may be compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selbench.store.records import Record

# The columns of a table of scores that hold the setting. The arms of one table share the first group; the second group is
# empty for an arm that is not fine-tuned, and such an arm may be compared with any.
SHARED = ("comparison", "pool", "pool_key", "suite", "suite_key", "task", "metric", "model")
TRAINING = ("trainer", "match", "trainer_key")


@dataclass(frozen=True)
class Setting:
    """What runs whose scores may be compared have in common.

    A field is empty where an arm does not have it: the base model has no trainer, `full` no budget. Keys decide, not
    names: `pool`, `trainer` and `match` are not compared.
    """

    comparison: str
    pool_key: str
    model: str
    suites: tuple[tuple[str, str], ...]  # name and key of each, sorted
    trainer_key: str
    budget: str  # as a label, `15%`
    pool: str = field(compare=False)
    trainer: str = field(compare=False)
    match: str = field(compare=False)

    @classmethod
    def of(cls, record: Record) -> Setting:
        """The setting of a recorded run."""
        axes = record.axes
        return cls(
            comparison=record.comparison,
            pool_key=axes.pool_key,
            model=axes.model,
            suites=tuple(sorted(axes.suite_keys.items())),
            trainer_key=axes.trainer_key or "",
            budget=axes.budget_label,
            pool=axes.pool,
            trainer=axes.trainer or "",
            match=axes.match or "",
        )

    def meets(self, other: Setting) -> bool:
        """Whether scores of both settings may be compared: all fields agree, except a trainer or budget that one lacks."""
        return (
            self.shares_pool(other)
            and (self.comparison, self.model, self.suites) == (other.comparison, other.model, other.suites)
            and all(
                mine == theirs or "" in (mine, theirs)
                for mine, theirs in ((self.trainer_key, other.trainer_key), (self.budget, other.budget))
            )
        )

    def shares_pool(self, other: Setting) -> bool:
        return self.pool_key == other.pool_key

    def shares_suite(self, other: Setting, suite: str) -> bool:
        """Whether the options, data and code of the suite are the same in both settings."""
        return dict(self.suites).get(suite) == dict(other.suites).get(suite)

    def columns(self, suite: str) -> dict[str, str]:
        """The columns of SHARED and TRAINING for this suite, without `task` and `metric`, which belong to a score."""
        return {
            "comparison": self.comparison,
            "pool": self.pool,
            "pool_key": self.pool_key,
            "suite": suite,
            "suite_key": dict(self.suites).get(suite, ""),
            "model": self.model,
            "trainer": self.trainer,
            "match": self.match,
            "trainer_key": self.trainer_key,
        }
