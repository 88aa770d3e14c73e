"""`selbench inspect`: pictures of a selection, and the data behind each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from selbench import console
from selbench.cli.main import plugin_path

if TYPE_CHECKING:
    from selbench.config import Run
    from selbench.inspection.view import View


def main(arguments: list[str]) -> int:
    """Select (or recall the selection), and write every panel that applies."""
    parser = argparse.ArgumentParser(
        prog="selbench inspect",
        description="Look at a selection: writes figures (PNG) and the data behind each (CSV) about tags, coverage, scores, "
        "lengths, neighbours and composition; panels that do not apply are left out, with the reason. Settings are those "
        "of a run; features and selections are cached and shared with runs. Reports may use hidden labels, selectors never.",
        epilog="example: selbench inspect selector=mads selector.layers=all pool=planted budget=0.15 --out mads-planted",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="e.g. selector=mads scorer=planted-1m budget=0.15"
    )
    parser.add_argument("--out", type=Path, help="the folder to write to (default: OUTPUT_DIR/inspect/NAME)")
    args = parser.parse_intermixed_args(arguments)  # settings may stand before and after --out

    from selbench.config import compose_run, register
    from selbench.plugins import discover

    registry = discover(plugin_path(args.settings))
    register(registry)
    run = compose_run(args.settings, registry)

    from selbench.inspection.panels import write_panels

    view, stem = view_of(run)
    out = args.out or run.output_dir / "inspect" / stem
    written, left_out = write_panels(view, out)
    console.say(f"{view.name}: {len(written)} panels")
    console.out.print(str(out), soft_wrap=True, markup=False)
    for files, about in written:
        console.out.print(f"  {'  '.join(files):<39}  {about}", soft_wrap=True, markup=False)
    for name, reason in left_out.items():
        console.out.print(f"  left out: {name:<29}  {reason}", soft_wrap=True, markup=False)
    return 0


def view_of(run: Run) -> tuple[View, str]:
    """The run's selection with all that is kept about it, and a name for its files.

    Raises UserError if nothing is selected or the selector does not apply.
    """
    import numpy as np

    from selbench.errors import NotApplicable, UserError
    from selbench.inspection.view import View, read_diagnostics, read_features
    from selbench.run.carry_out import open_store
    from selbench.run.identity import load_pool, load_target, run_axes
    from selbench.run.select import make_budget, response_tokens, select
    from selbench.store.records import axes_name

    loaded, store = load_pool(run.pool), open_store(run, console.say)
    pool, who = loaded.pool, run.selector.plugin_name
    tokens = response_tokens(pool, run.model, store)
    budget = make_budget(run.selector, pool, run.budget, run.budget_unit, tokens)
    if budget is None:
        raise UserError(f"selector '{who}' selects nothing: there is nothing to inspect.")
    try:
        found = select(run.selector, pool, budget, run.scorer, load_target(run), run.seed, store)
    except NotApplicable as reason:
        raise UserError(f"selector '{who}' does not apply here: {reason}") from reason
    if not found.ids:
        raise UserError(f"selector '{who}' has chosen nothing: there is nothing to inspect.")

    labels = [loaded.labels[id] for id in pool.ids] if loaded.labels else []
    by_skill = bool(labels) and "skill" in labels[0]
    categories = [str(row["skill"]) for row in labels] if by_skill else [example.category for example in pool]
    name = axes_name(run_axes(run))
    view = View(
        name=f"{name}, pool {pool.name}: {len(found.ids):,} of {len(pool):,} examples",
        ids=pool.ids,
        prompts=[example.prompt for example in pool],
        responses=[example.response for example in pool],
        tokens=np.asarray(tokens),
        order=np.array([pool.position(id) for id in found.ids], np.int64),
        scores=found.scores,
        category="skill" if by_skill else "category",
        categories=[name or "(none)" for name in categories] if any(categories) else [],
        labels=labels,
        features=read_features(store, found.stages),
        diagnostics=read_diagnostics(store, found.stages, len(found.ids)),
    )
    return view, f"{pool.name}_{name}".replace("%", "pct").replace(" ", "_").replace("/", "-")
