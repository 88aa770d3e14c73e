"""What a model behind an endpoint is good for: evaluation as it is. Everything else is refused before any cell starts."""

from __future__ import annotations

from selbench.api import ModelRef
from selbench.errors import NotAtHand, UserError
from selbench.run.trained_elsewhere import trained_elsewhere
from selbench.settings import Run


def served_model(run: Run) -> ModelRef | None:
    """The model behind an endpoint that a run evaluates; None for one whose model is here."""
    if not run.model.url:
        return None
    return run.model if run.selector.selects_nothing else trained_elsewhere(run)


def check_endpoints(run: Run, at_hand: bool = True) -> None:
    """Raises UserError for a run that would do more with a model behind an endpoint than evaluate it, or cannot do that.

    With `at_hand` False a server that does not answer now, or a module that is not installed here, is no mistake.
    """
    chooses = run.selector.takes_budget and run.selector.uses_scorer
    if chooses and run.scorer.url and run.scorer != run.model:
        raise UserError(
            f"scorer '{run.scorer.name}' is behind an endpoint ({run.scorer.url}), which does not show what a selector "
            "reads in a model: name a folder or a hub model with scorer=."
        )
    if not run.model.url or not run.model_suites:
        return
    model = served_model(run)
    if model is None:
        raise UserError(
            f"model '{run.model.name}' is behind an endpoint ({run.model.url}): it can be evaluated, but not fine-tuned. Valid: "
            "selector=base for the model as it is, and selector=given selector.given.served=NAME for one that was fine-tuned "
            "elsewhere and that the server has under that name."
        )
    if not run.selector.selects_nothing and not run.model.path:
        raise UserError(
            f"model '{run.model.name}': set model.path to its tokenizer (a folder or a name on the hub), by which the tokens of "
            "what was selected are counted."
        )
    for name, suite in run.model_suites.items():
        if not hasattr(suite, "check_endpoint"):
            raise UserError(
                f"suite '{name}' ({suite.plugin_name}) reads more of a model than an endpoint shows, and '{model.name}' is "
                f"behind one ({model.url}): take a suite of lm-eval's tasks."
            )
        try:
            suite.check_endpoint(model)
        except NotAtHand:
            if at_hand:
                raise
