"""The pool `hub`: a data set on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selbench.api import NotApplicable, pool
from selbench.data.pools import FilePool, hub_label, path_label


@pool("hub")
class Hub(FilePool):
    """Any data set on the hub: pool=hub pool.hub=owner/name (and pool.subset, pool.split, pool.revision).

    If `path` names a local copy, the copy is read instead.

    Options:
        name: the name of the pool in reports; empty for that of the data set without its owner.
    """

    name: str = ""

    @classmethod
    def check_options(cls, folder: Path) -> dict[str, Any]:
        """For `selbench check`, which uses no network. Raises NotApplicable."""
        raise NotApplicable("it reads a data set of the hub: name one, pool.hub=owner/name, or a copy, pool.path=FILE")

    def __post_init__(self) -> None:
        self.name = self.name or hub_label(self.hub) or path_label(self.path) or "hub"
