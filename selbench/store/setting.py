"""When two runs may be compared: the one definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selbench.store.records import Record

# The columns of a table of scores that say the same: what the arms of one table share, and what an arm that is not
# fine-tuned does not have (it stands beside any).
SHARED = ("comparison", "pool", "pool_key", "suite", "suite_key", "task", "metric", "model")
TRAINING = ("trainer", "match", "trainer_key")


@dataclass(frozen=True)
class Setting:
    """What runs share whose scores may be compared; empty where an arm does not have it (the base model has no trainer,
    `full` no budget). Keys decide, whatever the names say."""

    comparison: str
    pool_key: str
    model: str
    suites: tuple[tuple[str, str], ...]  # name and key of each, sorted
    trainer_key: str
    budget: str
    pool: str = field(compare=False)
    trainer: str = field(compare=False)
    match: str = field(compare=False)

    @classmethod
    def of(cls, record: Record) -> Setting:
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
        """Whether scores under both may be compared: all is the same, but for a trainer or a budget that one lacks."""
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
        """Whether the suite's settings, data and code are the same on both sides."""
        return dict(self.suites).get(suite) == dict(other.suites).get(suite)

    def columns(self, suite: str) -> dict[str, str]:
        """Of SHARED and TRAINING what does not depend on a score."""
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
