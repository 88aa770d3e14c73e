"""The pool `hub`: a data set on the Hugging Face hub."""

from __future__ import annotations

from selbench.api import pool
from selbench.data.pools import FilePool


@pool("hub")
class Hub(FilePool):
    """Any data set on the hub: pool=hub pool.hub=owner/name (and pool.subset, pool.split, pool.revision).

    If `path` names a local copy, the copy is read instead.
    """

    name: str = "hub"
