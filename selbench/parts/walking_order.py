"""The order in which a rule looks at examples: random, longest response first, or by scores from a file."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from selbench.api import Budget, Context, Pool
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.parts.rows_by_id import existing_file, require_all, scores_by_id

SCORES = "selector.scores"


@dataclasses.dataclass
class ScoresOption:
    """Scores from a file, as an option of a rule.

    Options:
        scores: a file with an id and a number in each row (.jsonl, .json, .csv or .parquet); more is better.
        id_column: the file's column of ids.
        column: the file's column of scores.
    """

    scores: str = ""
    id_column: str = "id"
    column: str = "score"

    def scores_identity(self) -> dict[str, Any]:
        """The options for a key, with the content of the file in place of its path."""
        return {
            **dataclasses.asdict(self),
            "scores": file_hash(existing_file(SCORES, self.scores)) if self.scores else None,
        }

    def identity(self) -> dict[str, Any]:
        """The same, of a rule by itself; a selector that is a rule adds its space."""
        return self.scores_identity()

    def check(self) -> None:
        """Raises UserError for a file that cannot be read."""
        if self.scores:
            self._by_id()

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError for a file that cannot be read, or lacks examples of the pool."""
        if self.scores:
            require_all(f"{SCORES}={self.scores}", self._by_id(), budget.ids)

    def scores_of(self, pool: Pool) -> np.ndarray:
        """N numbers, in the order of the pool. Raises UserError as `check_budget` does."""
        found = self._by_id()
        require_all(f"{SCORES}={self.scores}", found, pool.ids)
        return np.array([found[id] for id in pool.ids])

    def _by_id(self) -> dict[str, float]:
        return scores_by_id(SCORES, self.scores, self.id_column, self.column)


@dataclasses.dataclass
class OrderOption(ScoresOption):
    """In which order a rule looks at examples.

    Options:
        order: random (by the run's seed), longest (responses with most characters first), or scores (best first).
    """

    order: Literal["random", "longest", "scores"] = "random"

    def require_order(self) -> None:
        """Raises UserError for an order by scores without a file, and for a file that no order reads."""
        if self.order == "scores" and not self.scores:
            raise UserError("order=scores needs the file of scores: name it with scores=FILE.")
        if self.scores and self.order != "scores":
            raise UserError(f"scores={self.scores} is for order=scores, and order={self.order}.")

    def values_of(self, pool: Pool, context: Context) -> np.ndarray | None:
        """N numbers by which the order goes, the largest first; None for a random one."""
        if self.order == "scores":
            return self.scores_of(pool)
        if self.order == "longest":
            said = [sum(len(answer) for _, answer in e.history) + len(e.response) for e in pool]
            return np.array(said, np.float64)
        return None

    def order_of(self, pool: Pool, context: Context) -> tuple[np.ndarray, np.ndarray | None]:
        """The positions in the order in which they are walked, and the N values that decide it; ties to the lower position."""
        values = self.values_of(pool, context)
        return (context.rng.permutation(len(pool)) if values is None else np.argsort(-values, kind="stable")), values
