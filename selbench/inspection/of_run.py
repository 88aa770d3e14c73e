"""The view that `selbench inspect` draws, from the settings of a run: selected now, or recalled from the store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from selbench.inspection.view import View, read_diagnostics, read_features
from selbench.numbers import count_text
from selbench.run.before_selecting import filter_sentences, target_leak_sentences
from selbench.run.carry_out import open_store
from selbench.run.identity import run_axes, selector_warnings
from selbench.run.inputs import pool_of
from selbench.run.select import selection_alone, selection_facts
from selbench.settings import Run
from selbench.store.outputs import file_name


def view_of(run: Run, say: Callable[[str], None] = lambda message: None) -> tuple[View, str]:
    """The run's selection with everything that the store keeps about it, and a name for its folder.

    `say` gets messages on the progress. Raises UserError if the run selects nothing or the selector does not apply.
    """
    loaded, store = pool_of(run), open_store(run, say)
    pool = loaded.pool
    warnings = [*selector_warnings(run), *target_leak_sentences([run])]
    for sentence in [*filter_sentences(run), *(f"warning: {line}" for line in warnings)]:
        say(sentence)
    tokens, found = selection_alone(run, store, "inspect")
    labels = [loaded.labels[id] for id in pool.ids] if loaded.labels else []
    by_skill = bool(labels) and "skill" in labels[0]
    categories = [str(row["skill"]) for row in labels] if by_skill else [example.category for example in pool]
    name = run_axes(run).name
    order = np.array([pool.position(id) for id in found.ids], np.int64)
    facts = selection_facts([pool[i] for i in order], pool, np.asarray(tokens)[order], {})
    view = View(
        name=f"{name}, pool {pool.name}: {count_text(len(found.ids))} of {count_text(len(pool))} examples",
        ids=pool.ids,
        prompts=[example.prompt for example in pool],
        responses=[example.response for example in pool],
        tokens=np.asarray(tokens),
        order=order,
        scores=found.scores,
        category="skill" if by_skill else "category",
        categories=[category or "(none)" for category in categories] if any(categories) else [],
        labels=labels,
        features=read_features(store, found.stages),
        diagnostics=read_diagnostics(store, found.stages, len(found.ids)),
        notes=[facts.repeats] if facts.repeats else [],
    )
    return view, file_name(f"{pool.name}_{name}")
