"""The space `vectors_file`: vectors that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import Budget, Context, Pool
from selbench.errors import UserError
from selbench.hashing import file_hash
from selbench.parts.part import Space, View, space
from selbench.parts.rows_by_id import existing_file, ids_in_file, require_all

PATH, IDS = "selector.space.path", "selector.space.ids"


@space("vectors_file")
class VectorsFile(Space):
    """Vectors from a file of NumPy's and the ids of their rows; rows of other examples are passed over.

    Options:
        path: the file (.npy) of one vector a row, in any number format.
        ids: the file with the id of each row: one a line (.txt) or a list (.json). Empty: the file beside `path` with the same
            name and one of these endings.
    """

    gives: ClassVar[tuple[View, ...]] = ("vectors",)

    path: str = ""
    ids: str = ""

    def identity(self) -> dict[str, Any]:
        """The content of both files, for the key."""
        return {"path": file_hash(existing_file(PATH, self.path)), "ids": file_hash(self._ids_file)}

    def check(self) -> None:
        """Raises UserError for files that are missing, cannot be read, or do not fit each other."""
        _ = self._rows

    def check_budget(self, budget: Budget) -> None:
        """Raises UserError if the pool has examples that the file lacks."""
        require_all(f"{PATH}={self.path}", self._rows[0], budget.ids)

    def vectors(self, pool: Pool, context: Context) -> np.ndarray:
        ids, values = self._rows
        require_all(f"{PATH}={self.path}", ids, pool.ids)
        place = {id: row for row, id in enumerate(ids)}
        return np.asarray(values[[place[id] for id in pool.ids]], np.float32)

    @property
    def _ids_file(self) -> Path:
        if self.ids:
            return existing_file(IDS, self.ids)
        beside = [existing_file(PATH, self.path).with_suffix(ending) for ending in (".txt", ".json")]
        if found := [path for path in beside if path.is_file()]:
            return found[0]
        raise UserError(
            f"{PATH}={self.path}: there are no ids of its rows: name their file with {IDS}, or put it beside it as "
            f"{' or '.join(path.name for path in beside)}."
        )

    @property
    def _rows(self) -> tuple[list[str], np.ndarray]:
        """The ids, and the vectors, which stay on disk."""
        where = existing_file(PATH, self.path)
        try:
            values = np.load(where, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{PATH}={self.path} cannot be read as a .npy file: {error}") from error
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
            about = f"shape {values.shape}, {values.dtype}" if isinstance(values, np.ndarray) else "several arrays"
            raise UserError(f"{PATH}={self.path} holds no vectors: one row of numbers for each example, not {about}.")
        ids = ids_in_file(IDS, self._ids_file)
        if len(ids) != len(values):
            raise UserError(
                f"{PATH}={self.path} has {len(values):,} rows, and {self._ids_file} names {len(ids):,} ids."
            )
        return ids, values
