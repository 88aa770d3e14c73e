"""A search through all examples of a pool, as a stage: what a filter or a check rests on."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from selbench.errors import UserError
from selbench.run.stage import RunStage
from selbench.store.files import read_json, write_json
from selbench.store.inventory import stage_path
from selbench.store.stages import MANIFEST, Store

F = TypeVar("F")  # what is found

KEPT = 32  # results that stay in memory: they are small, and neighbouring cells of a grid ask for the same
_found: dict[str, Any] = {}  # by the key of the stage


class SearchStage(RunStage, Generic[F]):
    """A search through the examples of one pool. A run keeps the result in the store; a plan only looks for it there."""

    file: ClassVar[str]  # of the result, in the stage's folder

    @abstractmethod
    def search(self) -> F:
        """What is found in the examples, searched for now."""

    @abstractmethod
    def plain(self, found: F) -> Any:
        """What was found as plain data for JSON."""

    @abstractmethod
    def of_plain(self, plain: Any) -> F:
        """What `plain` was made of."""

    def result(self, store: Store) -> F:
        """What was found, kept in the store.

        Raises UserError if the stored result cannot be read, and as `search` does.
        """

        def compute(folder: Path) -> None:
            write_json(folder / self.file, self.plain(self.at_hand(None)))

        return self._read(store.stage(self.kind, self.identity, compute).path)

    def at_hand(self, root: Path | None) -> F:
        """The same from memory, from the store at `root` if it is there, or else searched for now; nothing is written."""
        if self.key not in _found:
            folder = stage_path(root, self.kind, self.key) if root else None
            stored = folder is not None and (folder / MANIFEST).is_file()
            _found[self.key] = self._read(folder) if folder and stored else self.search()
            for oldest in list(_found)[:-KEPT]:
                del _found[oldest]
        known: F = _found[self.key]
        return known

    def _read(self, folder: Path) -> F:
        plain = read_json(folder / self.file)
        if plain is None:
            raise UserError(f"what was found in {folder} cannot be read. Delete that folder and run again.")
        return self.of_plain(plain)
