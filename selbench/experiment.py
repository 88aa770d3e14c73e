"""One run, top to bottom: pool, selection, fine-tuning, evaluation, record."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from selbench.api import ModelRef, Pool
from selbench.config import Run
from selbench.data.pools import LoadedPool
from selbench.errors import NotApplicable, UserError
from selbench.models import fingerprint
from selbench.steps.evaluate import ITEMS, Evaluated, evaluate
from selbench.steps.select import Selected, facts, make_budget, response_tokens, select
from selbench.steps.train import Tuning
from selbench.store.cost import total
from selbench.store.keys import derive_seed, digest, plugin_identity
from selbench.store.records import Record, Records, versions
from selbench.store.stages import Store, write_json, writing

Say = Callable[[str], None]


def carry_out(run: Run, say: Say = lambda message: None) -> tuple[Record, bool]:
    """The record of a run, and whether it was there already. A run that finished or was skipped is not run again.

    Raises UserError if the pool cannot be read or the output folder not written; anything that goes wrong later is
    recorded as failed, with the reason.
    """
    loaded = load_pool(run.pool)
    records = Records(run.output_dir / "runs")
    record = _begin(run, loaded)
    done = records.read(record.key)
    if done and done.status != "failed":
        return done, True
    with writing(records.folder(record.key)) as folder:
        (folder / "traceback.txt").unlink(missing_ok=True)
    try:
        _stages(run, loaded, record, folder, say)
        record.status = "finished"
    except NotApplicable as reason:
        record.status, record.reason = "skipped", str(reason)
    except UserError as error:
        record.reason = str(error)
    except Exception as error:  # a plugin may raise anything: the run has failed, the sweep goes on
        (folder / "traceback.txt").write_text(traceback.format_exc())
        record.reason = f"{type(error).__name__}: {error} (traceback: {folder / 'traceback.txt'})"
    record.versions = versions()
    records.write(record)
    return record, False


def check(run: Run) -> None:
    """Everything that can be known to be wrong before any work: files, folders, budget. Raises UserError."""
    loaded = load_pool(run.pool)
    _begin(run, loaded)
    if run.budget_unit != "tokens":
        make_budget(run.selector, loaded.pool, run.budget, run.budget_unit, None)


def _stages(run: Run, loaded: LoadedPool, record: Record, folder: Path, say: Say) -> None:
    """Select, train, evaluate; the record is filled as it goes, so that a failure keeps what was measured."""
    store, pool = Store(run.output_dir / "store"), loaded.pool
    tokens = response_tokens(pool, run.model, store)
    budget = make_budget(run.selector, pool, run.budget, run.budget_unit, tokens)

    say("selecting")
    selected = select(run.selector, pool, budget, run.scorer, load_target(run), run.seed, store)
    positions = sorted(pool.position(id) for id in selected.ids)
    chosen = [pool[position] for position in positions]
    _note_selection(record, folder, selected, facts(chosen, tokens[positions], loaded.labels))

    if not chosen:  # the arm `base`: the model as it is
        results = _evaluate_all(run, fingerprint(run.model), lambda: run.model, store, say)
    else:
        tuning = Tuning(run.trainer, chosen, run.model, run.seed, store, say)
        with tuning.held(keep=run.keep_models):
            results = _evaluate_all(run, tuning.key, tuning.model, store, say)
        record.stages["training"] = tuning.key
        if stage := tuning.recall():
            record.cost["training"] = stage.cost
            record.logged |= {f"training/{name}": value for name, value in stage.logged.items()}
    _note_scores(record, folder, results)


def _evaluate_all(run: Run, key: str, model: Callable[[], ModelRef], store: Store, say: Say) -> dict[str, Evaluated]:
    seed = run.seed if run.selector.share != 0 else 0
    return {name: evaluate(name, suite, model, key, seed, store, say) for name, suite in run.suites.items()}


@lru_cache(maxsize=4)
def _load_pool(kind: Callable[..., Any], options: str) -> LoadedPool:
    loaded: LoadedPool = kind(**json.loads(options)).load()
    return loaded


def load_pool(config: Any) -> LoadedPool:
    """The pool of a config; the last ones are kept, as neighbouring cells of a grid share them."""
    kind: Callable[..., Any] = type(config)
    return _load_pool(kind, json.dumps(dataclasses.asdict(config)))


def load_target(run: Run) -> dict[str, Pool]:
    """The target examples per capability; nothing is read for a selector that may not look at them."""
    return {name: load_pool(config).pool for name, config in run.targets.items()} if run.selector.targeted else {}


def _begin(run: Run, loaded: LoadedPool) -> Record:
    """The record before anything is done: its key is the hash of all that the result depends on."""
    selector = run.selector
    tuned, free = selector.share != 0, selector.share is None
    # Runs are comparable only if these agree, whatever their names say.
    setting = {
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
        axes={**run_axes(run), **setting},
        config=dict(run.resolved),
        comparison=run.comparison,
        sweep=run.sweep,
        created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        command=shlex.join(["selbench", *sys.argv[1:]]),
        seeds={axis: derive_seed(run.seed, axis) for axis in ("selection", "training", "evaluation")},
    )


def run_axes(run: Run) -> dict[str, Any]:
    """The words that tell runs apart on a leaderboard; None where an arm does not have that axis."""
    selector = run.selector
    tuned, free = selector.share != 0, selector.share is None
    return {
        "pool": run.pool.name,
        "selector": _label(selector),
        "budget": run.budget if free else None,
        "budget_unit": run.budget_unit if free else "examples",
        "scorer": run.scorer.name if free and selector.uses_scorer else None,
        "target": "+".join(sorted(run.targets)) if selector.targeted else None,
        "model": run.model.name,
        "trainer": run.trainer.plugin_name if tuned else None,
        "match": getattr(run.trainer, "match", None) if tuned else None,
        "suites": sorted(run.suites),
        "seed": run.seed if tuned else None,
    }


def _label(selector: Any) -> str:
    """The selector's name with the options that differ from their defaults: what tells two arms apart."""
    changed = [
        f"{item.name}={getattr(selector, item.name)}"
        for item in dataclasses.fields(selector)
        if getattr(selector, item.name) != _default(item)
    ]
    return f"{selector.plugin_name}({','.join(changed)})" if changed else selector.plugin_name


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if callable(item.default_factory) else item.default


def _note_selection(record: Record, folder: Path, selected: Selected, about: dict[str, Any]) -> None:
    record.selection = about
    record.stages |= selected.stages
    record.cost["selection"] = selected.cost
    record.logged |= {f"selection/{name}": value for name, value in selected.logged.items()}
    scores = None if selected.scores is None else selected.scores.tolist()
    write_json(folder / "selection.json", {"ids": selected.ids, "scores": scores})


def _note_scores(record: Record, folder: Path, results: dict[str, Evaluated]) -> None:
    import pandas as pd

    record.stages |= {f"evaluation/{name}": result.stage for name, result in results.items()}
    record.cost["evaluation"] = total([result.cost for result in results.values()])
    record.scores = [row for result in results.values() for row in result.scores]
    items = pd.concat([pd.read_parquet(result.items).assign(suite=name) for name, result in results.items()])
    items.to_parquet(folder / ITEMS, index=False)
