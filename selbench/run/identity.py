"""A run before anything is done: its name, its key, and what can be known to be wrong."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from selbench.api import LoadedPool
from selbench.errors import PluginError
from selbench.models import fingerprint
from selbench.run.inputs import load_pool, load_target
from selbench.run.select import make_budget
from selbench.run.training_lengths import context_of
from selbench.settings import Run
from selbench.store.axes import Axes, require_distinct_labels
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.records import Record
from selbench.store.stages import now


def checked_key(run: Run) -> str:
    """The run's key. Raises UserError for all that can be known to be wrong before any work: files, folders, budget, lengths."""
    loaded = load_pool(run.pool)
    if not run.selector.selects_nothing:
        context_of(run)
    key = new_record(run, loaded).key
    if run.budget_unit != "tokens":
        make_budget(run.selector, loaded.pool, run.budget, run.budget_unit, None)
    return key


def checked_keys(runs: Sequence[Run]) -> list[str]:
    """The keys of a grid's runs. Raises UserError as `checked_key` does, and if two different arms have one label."""
    keys = [checked_key(run) for run in runs]
    require_distinct_labels(run_axes(run) for run in runs)
    return keys


def new_record(run: Run, loaded: LoadedPool) -> Record:
    """The record before anything is done: its key is the hash of all that the result depends on."""
    selector = run.selector
    tuned, free = not selector.selects_nothing, selector.takes_budget
    # Runs are comparable only if these agree, whatever their names say.
    setting: dict[str, Any] = {
        "pool_key": loaded.pool.fingerprint[:20],
        "trainer_key": digest(plugin_identity(run.trainer)) if tuned else None,
        "suite_keys": {name: digest(plugin_identity(suite)) for name, suite in run.suites.items()},
    }
    identity = {
        **setting,
        "selector": plugin_identity(selector),
        "budget": [run.budget, isinstance(run.budget, float), run.budget_unit] if free else None,
        "scorer": fingerprint(run.scorer) if free and selector.uses_scorer else None,
        "target": {name: examples.fingerprint for name, examples in load_target(run).items()} if free else None,
        "model": fingerprint(run.model),
        "seed": run.seed if tuned else None,
        "comparison": run.comparison,
    }
    return Record(
        key=digest(identity),
        status="failed",
        axes=dataclasses.replace(run_axes(run), **setting),
        config=dict(run.resolved),
        comparison=run.comparison,
        sweep=run.sweep,
        created=now(),
        command=shlex.join(["selbench", *sys.argv[1:]]),
        seeds={axis: derive_seed(run.seed, axis) for axis in ("selection", "training", "evaluation")},
    )


def run_axes(run: Run) -> Axes:
    """The axes of a run, but for the keys of its pool, trainer and suites."""
    selector = run.selector
    tuned, free = not selector.selects_nothing, selector.takes_budget
    return Axes(
        pool=run.pool.name,
        selector=arm_label(selector),
        budget=run.budget if free else None,
        budget_unit=run.budget_unit if free else "examples",
        scorer=run.scorer.name if free and selector.uses_scorer else None,
        target="+".join(sorted(run.targets)) if selector.targeted else None,
        model=run.model.name,
        trainer=run.trainer.plugin_name if tuned else None,
        match=getattr(run.trainer, "match", None) if tuned else None,
        suites=tuple(sorted(run.suites)),
        seed=run.seed if tuned else None,
        selector_key=_name_and_options(selector),
    )


def arm_label(selector: Any) -> str:
    """What the plugin's `label()` says, else its name with the options that differ from their defaults.

    Raises PluginError if label() fails, or gives something else than a line of text.
    """
    if not hasattr(selector, "label"):
        return _name_and_options(selector)
    who = f"selector '{selector.plugin_name}'"
    try:
        label = selector.label()
    except Exception as error:  # a stranger's method may raise anything
        raise PluginError(f"{who}: label() raised {type(error).__name__}: {error}") from error
    if not isinstance(label, str) or not label.strip() or len(label.splitlines()) > 1:
        raise PluginError(f"{who}: label() must give one line of text, not {label!r}.")
    return label.strip()


def _name_and_options(selector: Any) -> str:
    """The selector's name with the options that differ from their defaults: what tells two arms apart."""
    changed = [
        f"{item.name}={getattr(selector, item.name)}"
        for item in dataclasses.fields(selector)
        if getattr(selector, item.name) != _default(item)
    ]
    return f"{selector.plugin_name}({','.join(changed)})" if changed else selector.plugin_name


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if callable(item.default_factory) else item.default
