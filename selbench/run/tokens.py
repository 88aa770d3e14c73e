"""Token counts as a stage: the response tokens of a pool, for budgets in tokens and for reported lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from selbench.api import ModelRef, Pool
from selbench.models import fingerprint, load_tokenizer
from selbench.run.inputs import pool_of
from selbench.run.stage import RunStage
from selbench.settings import Run
from selbench.store.code import module_hash
from selbench.store.files import load_arrays, save_arrays
from selbench.store.stages import Store


@dataclass(frozen=True, eq=False)
class TokenCounts(RunStage):
    """The number of response tokens of each example of a pool under a model's tokenizer."""

    pool: Pool
    model: ModelRef
    kind: ClassVar[str] = "tokens"

    @classmethod
    def of(cls, run: Run) -> TokenCounts:
        """The counts of a run's pool under the tokenizer of its model."""
        return cls(pool_of(run).pool, run.model)

    @property
    def identity(self) -> dict[str, Any]:
        counting = module_hash("selbench.data.chat")
        return {"pool": self.pool.fingerprint, "model": fingerprint(self.model), "source": counting}

    def result(self, store: Store) -> np.ndarray:
        """N integers, one per example, in pool order. Raises UserError if the tokenizer cannot be loaded."""
        stage = store.stage(self.kind, self.identity, self._compute)
        return load_arrays(stage.path)["tokens"]

    def _compute(self, folder: Path) -> None:
        from selbench.data.chat import count_response_tokens

        save_arrays(folder, {"tokens": count_response_tokens(self.pool, load_tokenizer(self.model))})
