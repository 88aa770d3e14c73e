"""The space `scores_file`: one number per example that was made elsewhere: a loss, a rating, a quality."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool
from selbench.hashing import file_hash
from selbench.parts.part import Space, View, space
from selbench.parts.rows_by_id import existing_file, require_all, scores_by_id

PATH = "selector.space.path"


@space("scores_file")
class ScoresFile(Space):
    """Scores from a file with an id and a number in each row; rows of other examples are passed over.

    Options:
        path: the file: .jsonl, .json, .csv or .parquet.
        id_column: the column of ids.
        column: the column of scores.
    """

    gives: ClassVar[tuple[View, ...]] = ("scores",)

    path: str = ""
    id_column: str = "id"
    column: str = "score"

    def identity(self) -> dict[str, Any]:
        """The options for the key, with the content of the file in place of its path."""
        return {**dataclasses.asdict(self), "path": file_hash(existing_file(PATH, self.path))}

    def check(self) -> None:
        """Raises UserError for a file that is missing, lacks a column, or holds anything but finite numbers."""
        _ = self._scores

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if the pool has examples that the file lacks."""
        require_all(f"{PATH}={self.path}", self._scores, budget.ids)

    def scores(self, pool: Pool, context: Context) -> np.ndarray:
        found = self._scores
        require_all(f"{PATH}={self.path}", found, pool.ids)
        return np.array([found[id] for id in pool.ids])

    @property
    def _scores(self) -> dict[str, float]:
        return scores_by_id(PATH, self.path, self.id_column, self.column)
