"""The space `tags_file`: tags that were given elsewhere, as those of InsTag."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from selbench.api import Budget, Context, Pool
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.parts.part import TagRows, space
from selbench.parts.rows_by_id import columns_by_id, existing_file, require_all
from selbench.parts.tag_space import TagSpace

PATH = "selector.space.path"


@space("tags_file")
class TagsFile(TagSpace):
    """Tags from a file with an id and a list of tags in each row; rows of other examples are passed over.

    Options:
        path: the file: .jsonl, .json or .parquet.
        id_column: the column of ids.
        column: the column of tags: lists of words or numbers.
        dimension: for rules that choose by vectors: how many dimensions are kept of the rows of tags.
    """

    path: str = ""
    id_column: str = "id"
    column: str = "tags"
    dimension: int = 256

    def __post_init__(self) -> None:
        self.check_dimension()

    def identity(self) -> dict[str, Any]:
        """The options for the key, with the content of the file in place of its path."""
        return {**dataclasses.asdict(self), "path": file_hash(existing_file(PATH, self.path))}

    def check(self) -> None:
        """Raises UserError for a file that is missing, lacks a column, or holds anything but lists."""
        _ = self._lists

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if the pool has examples that the file lacks."""
        require_all(f"{PATH}={self.path}", self._lists, budget.ids)

    def tags(self, pool: Pool, context: Context) -> TagRows:
        lists = self._lists
        require_all(f"{PATH}={self.path}", lists, pool.ids)
        # Sorted, so that the number of a tag does not depend on the order of the pool.
        number = {tag: i for i, tag in enumerate(sorted({tag for id in pool.ids for tag in lists[id]}))}
        rows = [sorted({number[tag] for tag in lists[id]}) for id in pool.ids]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return TagRows(indptr, np.array([tag for row in rows for tag in row], np.int32), len(number))

    @property
    def _lists(self) -> dict[str, list[str]]:
        found = columns_by_id(PATH, self.path, self.id_column, self.column)
        for id, tags in found.items():
            if not isinstance(tags, list) or not all(isinstance(tag, str | int) for tag in tags):
                raise UserError(f"{PATH}={self.path}: column '{self.column}' of '{id}' is no list of tags: {tags!r}.")
        return {id: [str(tag) for tag in tags] for id, tags in found.items()}
