"""The shape that all stages of a run have: a kind, an identity that holds all that can change the result, and a key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from selbench.store.stages import Store


class RunStage(ABC):
    """One stage of a run before it is computed.

    The planner only asks for its `key`. Each subclass has a `result(store, ...)`, which computes the stage or reads it
    from the store.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that can change the result, and nothing else."""

    @cached_property
    def key(self) -> str:
        """The name of the stage's folder in the store (for a ranking its beginning: the length follows, `KEY-7800`)."""
        return Store.key(self.kind, self.identity)
