"""The shape that all stages of a run have: a kind, an identity of all that can change the result, and the key of both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from selbench.store.stages import Store


class RunStage(ABC):
    """One stage of a run before it is computed.

    The planner asks for its `key`; `result(store, ...)` of each stage computes it, or reads it where the store has it.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that can change the result, and nothing else."""

    @cached_property
    def key(self) -> str:
        """The name of the stage's folder in the store."""
        return Store.key(self.kind, self.identity)
