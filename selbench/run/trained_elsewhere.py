"""Arms whose model somebody has tuned already: it is evaluated as it is, and nothing is fine-tuned."""

from __future__ import annotations

from selbench.api import ModelRef
from selbench.settings import Run


def trained_elsewhere(run: Run) -> ModelRef | None:
    """The model that the selector brings with its selection, from its `trained_model(model)`; None where it brings none.

    Raises the selector's UserError if there is no such model.
    """
    if not hasattr(run.selector, "trained_model"):
        return None
    found: ModelRef | None = run.selector.trained_model(run.model)
    return found


def has_seed(run: Run) -> bool:
    """Whether the run's result depends on its seed: by the fine-tuning, or where only the selection is scored by that."""
    return is_fine_tuned(run) or (not run.model_suites and bool(run.selector.stochastic))


def is_fine_tuned(run: Run) -> bool:
    """Whether the run fine-tunes the model, and so has a trainer.

    Not where nothing is selected, the model was trained elsewhere, or all suites score the selection.
    """
    return bool(run.model_suites) and not run.selector.selects_nothing and trained_elsewhere(run) is None
