"""One run, top to bottom: pool, selection, fine-tuning, evaluation, record."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from selbench.api import LoadedPool, ModelRef, Pool
from selbench.errors import NotApplicable, UserError
from selbench.files import written_aside
from selbench.models import fingerprint
from selbench.run.evaluate import Evaluated, EvaluationStage
from selbench.run.identity import new_record
from selbench.run.inputs import load_pool, load_target
from selbench.run.leak_check import Checked, check_leaks
from selbench.run.select import Selected, SelectionStage, facts, selection_of
from selbench.run.tokens import TokenCounts
from selbench.run.train import TrainingStage
from selbench.run.training_lengths import TrainingLengths, context_of
from selbench.settings import Run
from selbench.store.cost import total
from selbench.store.facts import LeakSummary, SelectionFacts
from selbench.store.files import checksums, write_json, writing
from selbench.store.inventory import damaged
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, TRACEBACK, Record, Records, versions
from selbench.store.stages import Store

Say = Callable[[str], None]


def carry_out(run: Run, say: Say = lambda message: None) -> tuple[Record, bool]:
    """The record of a run, and whether it was there already. What is there is run again only as `reuse` and `retry` say.

    Raises UserError if the pool cannot be read, the output folder not written, or (reuse=verify) if what a record
    rests on is damaged; anything that goes wrong later is recorded as failed, with the reason.
    """
    loaded = load_pool(run.pool)
    records, store = Outputs(run.output_dir).records, open_store(run, say)
    record = new_record(run, loaded)
    with store.lock("run", record.key, record.name):
        if done := _done(run, record.key, records, store):
            return done, True
        with writing(records.folder(record.key)) as folder:
            (folder / TRACEBACK).unlink(missing_ok=True)
        try:
            _stages(run, loaded, record, folder, store, say)
            record.status = "finished"
        except NotApplicable as reason:
            record.status, record.reason = "skipped", str(reason)
        except UserError as error:
            record.reason = str(error)
        except Exception as error:  # a plugin may raise anything: the run has failed, the sweep goes on
            with written_aside(folder / TRACEBACK) as aside:
                aside.write_text(traceback.format_exc())
            record.reason = f"{type(error).__name__}: {error} (traceback: {folder / TRACEBACK})"
        _price(record, run.resolved.get("price_per_hour"))
        record.versions = versions()
        kept = checksums(folder)
        record.files = {name: kept[name] for name in (SELECTION, ITEMS) if name in kept}
        records.write(record)
    return record, False


def open_store(run: Run, say: Say = lambda message: None) -> Store:
    """The store of a run, used as the run says."""
    return Store(Outputs(run.output_dir).store, reuse=run.reuse, since=_since(run), shared=run.shared_store, say=say)


def _since(run: Run) -> str:
    """When this command began: what is to be done anew is done anew once per command."""
    if not run.sweep:
        return run.started
    return str(Outputs(run.output_dir).sweeps.open(run.sweep).about["started"])


def _done(run: Run, key: str, records: Records, store: Store) -> Record | None:
    """The record that stands for this run; None if there is none, or if it is to be made again."""
    record = records.read(key)
    if record is None:
        return None
    if record.created < _since(run):
        if run.reuse == "none" or (run.retry in (record.status, "all") and record.status != "finished"):
            return None
        if run.reuse == "verify" and (wrong := records.damage(record) or damaged(store.root, record.stages)):
            raise UserError(
                f"{record.name}: {records.folder(key)} cannot be relied on: {wrong}. reuse=none computes it again."
            )
    return record


def _stages(run: Run, loaded: LoadedPool, record: Record, folder: Path, store: Store, say: Say) -> None:
    """Select, train, evaluate; the record is filled as it goes, so that a failure keeps what was measured."""
    pool = loaded.pool
    counted = TokenCounts(pool, run.model)
    tokens = counted.result(store)
    record.stages[counted.kind] = counted.key

    say("selecting")
    selected = selection_of(run, tokens, store)
    positions = sorted(pool.position(id) for id in selected.ids)
    chosen = [pool[position] for position in positions]
    _note_selection(record, folder, selected, facts(chosen, tokens[positions], loaded.labels))
    checked = check_leaks(pool, load_target(run), run.suites, selected.ids, store)
    _note_leaks(record, checked, say)

    if not chosen:  # the arm `base`: the model as it is
        results = _evaluate_all(run, fingerprint(run.model), lambda: run.model, store, say)
    else:
        _note_lengths(record, run, pool, np.asarray(positions), store, say)
        training = TrainingStage(run.trainer, chosen, run.model, run.seed)
        rests_on = [f"{SelectionStage.kind}/{selected.stages['selection']}"]
        with training.held(store, keep=run.keep_models):
            results = _evaluate_all(run, training.key, lambda: training.result(store, say, rests_on), store, say)
        record.stages[training.kind] = training.key
        if stage := training.recall(store):
            record.cost["training"] = stage.cost
            record.logged |= {f"training/{name}": value for name, value in stage.logged.items()}
            record.training = record.training.with_log(stage.logged)
    _note_scores(record, folder, results, checked.items, say)


def _price(record: Record, per_hour: float | None) -> None:
    """Add to each stage what its device time costs, in the run's currency."""
    if per_hour is not None:
        for cost in record.cost.values():
            cost["money"] = per_hour * cost.get("wall_s", 0.0) / 3600


def _evaluate_all(run: Run, key: str, model: Callable[[], ModelRef], store: Store, say: Say) -> dict[str, Evaluated]:
    seed = 0 if run.selector.selects_nothing else run.seed
    stages = {name: EvaluationStage(name, suite, key, seed) for name, suite in run.suites.items()}
    return {name: stage.result(store, model, say) for name, stage in stages.items()}


def _note_selection(record: Record, folder: Path, selected: Selected, about: SelectionFacts) -> None:
    record.selection = about
    record.stages |= selected.stages
    record.cost["selection"] = selected.cost
    record.logged |= {f"selection/{name}": value for name, value in selected.logged.items()}
    scores = None if selected.scores is None else selected.scores.tolist()
    write_json(folder / SELECTION, {"ids": selected.ids, "scores": scores})


def _note_lengths(record: Record, run: Run, pool: Pool, chosen: np.ndarray, store: Store, say: Say) -> None:
    """What the training context will cut and drop of the chosen examples, before they are trained on."""
    measured = TrainingLengths(pool, run.model)
    record.training = measured.result(store).facts(chosen, context_of(run))
    record.stages[measured.kind] = measured.key
    if record.training.loses_much:
        say(f"warning: {record.training.losses}")


def _note_leaks(record: Record, checked: Checked, say: Say) -> None:
    record.leaks = {suite: LeakSummary.read(about) for suite, about in checked.summaries.items()}
    record.stages |= checked.stages
    record.selection = dataclasses.replace(record.selection, leaked=checked.selected)
    if warning := checked.warning():
        say(warning)


def _note_scores(
    record: Record, folder: Path, results: dict[str, Evaluated], items_of: Mapping[str, Mapping[str, int]], say: Say
) -> None:
    import pandas as pd

    record.stages |= {f"evaluation/{name}": result.stage for name, result in results.items()}
    record.cost["evaluation"] = total([result.cost for result in results.values()])
    record.scores = [
        row.out_of(items_of.get(row.suite, {}).get(row.task)) for result in results.values() for row in result.scores
    ]
    for row in record.scores:
        if row.headline and row.losses:
            say(f"warning: {row.losses}")
    items = pd.concat([pd.read_parquet(result.items).assign(suite=name) for name, result in results.items()])
    with written_aside(folder / ITEMS) as aside:
        items.to_parquet(aside, index=False)
