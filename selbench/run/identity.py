"""The identity of a run, before any work: its key, its axes, its arm's label, and the mistakes that show already."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from selbench.api import Budget, LoadedPool, name_and_options
from selbench.declare import drawn_once
from selbench.errors import NotAtHand, PluginError, UserError
from selbench.held import inner_selections, with_held
from selbench.models import fingerprint, require_complete
from selbench.placement import require_device_map
from selbench.run.endpoints import check_endpoints
from selbench.run.hub_commits import HubNotes, require_commits
from selbench.run.inputs import filtered_targets, load_pool, load_target, pool_of, pools_of
from selbench.run.select import make_budget
from selbench.run.template_check import require_template_fits
from selbench.run.trained_elsewhere import has_seed, is_fine_tuned, trained_elsewhere
from selbench.run.training_lengths import context_of
from selbench.settings import Run
from selbench.store.axes import Axes, require_distinct_labels
from selbench.store.keys import derive_seed, digest, options_key, plugin_identity
from selbench.store.outputs import Outputs
from selbench.store.records import Record
from selbench.store.stages import now

log = logging.getLogger("selbench.run")

NOT_TRAINED = "not trained"  # the trainer's key in records whose suites score the selection: a setting of their own


def checked_key(run: Run, at_hand: bool = True) -> str:
    """The run's key; with `at_hand` False also that of a run whose encoder, weights or test items are not to be had now.

    Raises UserError for mistakes that show before any work: unreadable files or folders, the folder of a model without
    weights or tokenizer, a budget that does not fit the pool, a trainer's max_length above the model's, leaks that are
    refused, a chat template that cannot write the examples, what the `check` of the selector or trainer finds, a commit that
    cannot be found out.
    """
    try:
        check_selector(run)
    except NotAtHand:
        if at_hand:
            raise
    check_endpoints(run, at_hand)
    for model in (run.model, *([run.scorer] if run.selector.uses_scorer else [])):
        require_complete(model)
        require_device_map(model)
    pool = pool_of(run).pool
    if tuned := trained_elsewhere(run):
        require_complete(tuned)
        if fingerprint(tuned) == fingerprint(run.model):
            where = tuned.name if tuned.url else tuned.path
            raise UserError(
                f"{arm_label(run.selector)}: the model that was trained elsewhere ({where}) is '{run.model.name}' itself."
            )
    elif is_fine_tuned(run):
        check_trainer(run)
        context_of(run)
        require_template_fits(run.model, pool)
    if run.selector.uses_scorer:
        for examples in (pool, *load_target(run).values()):
            require_template_fits(run.scorer, examples)
    for name, suite in run.selection_suites.items():
        if run.selector.selects_nothing and not run.model_suites:
            raise UserError(
                f"{arm_label(run.selector)} selects nothing: there is nothing that suite '{name}' could score."
            )
        if hasattr(suite, "check_pool"):
            suite.check_pool(LoadedPool(pool, pools_of(run)["pool"].labels))
    example_warnings(run)
    drawn_once(run.selector, pool, load_target(run))
    record = new_record(run)
    if at_hand:
        require_commits(record.hub)
    if run.budget_unit != "tokens":
        budget = make_budget(run.selector, pool, run.budget, run.budget_unit, None)
        if budget:
            check_budget(run.selector, budget)
    return record.key


def check_budget(selector: Any, budget: Budget) -> None:
    """Raises the UserError of the selector's `check_budget`, or of one of which it asks for a selection from the whole pool;
    a selector need not have one."""
    if hasattr(selector, "check_budget"):
        selector.check_budget(budget)
    for held, part in inner_selections(selector, budget):
        check_budget(held, part)


def check_trainer(run: Run) -> None:
    """Raises the UserError that the `check` of the trainer finds; a trainer need not have one.

    What this machine lacks (NotAtHand) is no mistake where the launcher may carry the run out on another.
    """
    if hasattr(run.trainer, "check"):
        try:
            run.trainer.check(run.model)
        except NotAtHand:
            if not run.elsewhere:
                raise


def check_selector(run: Run) -> None:
    """Raises UserError for a targeted selector without a target, and the one that the `check` of the selector, or of one that
    it holds, finds; a selector need not have one."""
    if run.selector.targeted and not run.targets:
        raise UserError(
            f"selector '{run.selector.plugin_name}' selects towards target examples, and the run has none: name them with "
            "target=, as in target=planted or target=file target.file.path=mine.jsonl."
        )
    for selector in with_held(run.selector):
        if hasattr(selector, "check"):
            selector.check()


def example_warnings(run: Run) -> list[str]:
    """What the selector's `check_examples`, and those of the selectors that it holds, warn of; a selector need not have one.

    Raises their UserError for a pool that they cannot work with. Nothing is known of a pool that is not at hand.
    """
    pool = pool_of(run).pool
    if not pool.examples_known:
        return []
    asked = [selector for selector in with_held(run.selector) if hasattr(selector, "check_examples")]
    return [str(sentence) for selector in asked for sentence in selector.check_examples(pool) or ()]


def checked_keys(runs: Sequence[Run], at_hand: bool = True) -> list[str]:
    """The keys of a grid's runs.

    Raises UserError as `check_suites` and `checked_key` do, and if two different arms have one label.
    """
    # Suites come first: a filter asks them for their items, and one that cannot work here is told of whether or not the
    # commits of its data are known.
    check_suites(runs, at_hand)
    keys = [checked_key(run, at_hand) for run in runs]
    said = (sentence for run in runs for sentence in (*scorer_warnings(run, at_hand), *example_warnings(run)))
    for sentence in dict.fromkeys(said):
        log.warning(sentence)
    require_distinct_labels(run_axes(run) for run in runs)
    return keys


def scorer_warnings(run: Run, at_hand: bool = True) -> list[str]:
    """What the selector's `check_scorer`, and those of the selectors that it holds, warn of; a selector need not have one.

    Raises their UserError for a scorer that they cannot work with; with `at_hand` False, what cannot be looked up is passed over.
    """
    found: list[str] = []
    for selector in with_held(run.selector):
        if selector.uses_scorer and hasattr(selector, "check_scorer"):
            try:
                found += [str(sentence) for sentence in selector.check_scorer(run.scorer) or ()]
            except NotAtHand:
                if at_hand:
                    raise
    return found


def check_suites(runs: Sequence[Run], at_hand: bool = True) -> None:
    """Raises the UserError of the first suite whose own `check` finds a mistake; a suite need not have one.

    With `at_hand` False, what a suite lacks on this machine is no mistake.
    """
    checked = set()
    for run in runs:
        for suite in run.suites.values():
            if hasattr(suite, "check") and repr(suite) not in checked:
                checked.add(repr(suite))
                try:
                    suite.check()
                except NotAtHand:
                    if at_hand:
                        raise


def new_record(run: Run) -> Record:
    """A record to be filled, with the status "failed" until the run has ended.

    Its key is the hash of everything that the result depends on. Raises UserError if a file that the key depends on
    cannot be read, or as `pool_of` does; PluginError if the selector's label() is broken.
    """
    selector = run.selector
    pool, targets = pool_of(run), filtered_targets(run)
    # The arm `base` has neither trainer nor seed, nor has one trained elsewhere; `base` and `full` have neither budget,
    # scorer nor target.
    fine_tuned, seeded, budgeted = is_fine_tuned(run), has_seed(run), selector.takes_budget
    hub = HubNotes()
    hub.of("pool", lambda: load_pool(run.pool))
    hub.of("target", lambda: [load_pool(run.targets[name]) for name in targets])
    target = {name: examples.pool.fingerprint for name, examples in targets.items()} if budgeted else None
    scorer = hub.of("scorer", lambda: fingerprint(run.scorer)) if budgeted and selector.uses_scorer else None
    model = hub.of("model", lambda: fingerprint(run.model))
    # Two runs are comparable only if these keys agree, whatever the names are.
    chooser = hub.of("selector", lambda: plugin_identity(selector))
    trainer = hub.of("trainer", lambda: plugin_identity(run.trainer)) if fine_tuned else None
    suites = {name: hub.of(f"suite.{name}", partial(plugin_identity, suite)) for name, suite in run.suites.items()}
    setting: dict[str, Any] = {
        "pool_key": pool.pool.fingerprint[:20],
        "trainer_key": digest(trainer) if trainer else None if run.model_suites else NOT_TRAINED,
        "suite_keys": {name: digest(suite) for name, suite in suites.items()},
    }
    identity = {
        **setting,
        "selector": chooser,
        "budget": [run.budget, isinstance(run.budget, float), run.budget_unit] if budgeted else None,
        "scorer": scorer,
        "target": target,
        "model": model,
        "seed": run.seed if seeded else None,
        "comparison": run.comparison,
    }
    return Record(
        key=digest(identity),
        status="failed",
        axes=dataclasses.replace(
            run_axes(run),
            **setting,
            pool=pool.facts.named(run.pool.name),
            target="+".join(targets[name].facts.named(name) for name in sorted(targets)) or None,
            model_key=model[:20],
            scorer_key=scorer[:20] if scorer else None,
            target_key=digest(target) if target else None,
            selector_code_key=digest(chooser),
            trainer_options_key=options_key(trainer) if trainer else None,
            suite_options_keys={name: options_key(suite) for name, suite in suites.items()},
        ),
        config=dict(run.resolved),
        filters={place: one.facts for place, one in pools_of(run).items() if one.facts.words},
        comparison=run.comparison,
        sweep=run.sweep,
        hub=hub.commits,
        created=now(),
        command=_typed_command(run),
        seeds={axis: derive_seed(run.seed, axis) for axis in ("selection", "training", "evaluation")},
    )


def _typed_command(run: Run) -> str:
    """The command line as it was typed. In a cell, sys.argv is what the launcher was given; its sweep holds what was typed."""
    sweeps = Outputs(run.output_dir).sweeps
    if run.sweep and sweeps.has(run.sweep):
        return str(sweeps.open(run.sweep).about["command"])
    return shlex.join(["selbench", *sys.argv[1:]])


def run_axes(run: Run) -> Axes:
    """The axes of a run, without what follows from its data: the keys, and the filters in the names of pool and target."""
    selector = run.selector
    fine_tuned, budgeted = is_fine_tuned(run), selector.takes_budget
    return Axes(
        pool=run.pool.name,
        selector=arm_label(selector),
        budget=run.budget if budgeted else None,
        budget_unit=run.budget_unit if budgeted else "examples",
        scorer=run.scorer.name if budgeted and selector.uses_scorer else None,
        target="+".join(sorted(run.targets)) if selector.targeted else None,
        model=run.model.name,
        trainer=run.trainer.plugin_name if fine_tuned else None,
        match=getattr(run.trainer, "match", None) if fine_tuned else None,
        suites=tuple(sorted(run.suites)),
        seed=run.seed if has_seed(run) else None,
        selector_key=name_and_options(selector),
    )


def arm_label(selector: Any) -> str:
    """The selector's `label()`, else its name with the options that differ from their defaults.

    Raises PluginError if label() fails, or returns anything but one line of text.
    """
    if not hasattr(selector, "label"):
        return name_and_options(selector)
    who = f"selector '{selector.plugin_name}'"
    try:
        label = selector.label()
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        raise PluginError(f"{who}: label() raised {type(error).__name__}: {error}") from error
    if not isinstance(label, str) or not label.strip() or len(label.splitlines()) > 1:
        raise PluginError(f"{who}: label() must give one line of text, not {label!r}.")
    return label.strip()
