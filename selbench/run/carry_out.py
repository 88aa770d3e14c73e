"""Carries out one run from top to bottom: pool, selection, leak check, fine-tuning, evaluation, record."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from selbench.api import Chosen, ModelRef, Pool
from selbench.data.leaks import selected_leaks
from selbench.declare import drawn_once
from selbench.errors import NotApplicable, PluginError, UserError
from selbench.files import written_aside
from selbench.models import fingerprint
from selbench.run.before_selecting import filter_sentences
from selbench.run.evaluate import Evaluated, EvaluationStage, selection_key
from selbench.run.filters import keep_searches
from selbench.run.hub_commits import require_commits
from selbench.run.identity import new_record
from selbench.run.inputs import load_target, pools_of
from selbench.run.leak_check import LeaksFound, check_leaks
from selbench.run.output_change import is_unchanged
from selbench.run.plugin_call import described
from selbench.run.select import Selected, SelectionStage, selection_facts, selection_of
from selbench.run.tokens import TokenCounts
from selbench.run.train import TrainingStage
from selbench.run.trained_elsewhere import is_fine_tuned, trained_elsewhere
from selbench.run.training_lengths import TrainingLengths, context_of
from selbench.settings import Run
from selbench.store.cost import total_cost
from selbench.store.facts import LeakSummary, SelectionFacts
from selbench.store.files import checksums, write_json, writing
from selbench.store.inventory import damaged
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, SELECTION, TRACEBACK, Record, Records, versions
from selbench.store.stages import Store, now

Say = Callable[[str], None]
REPEATS_HINT = "pool.drop_duplicates=exact leaves the repeats of a pool out before anything selects from it."
UNCHANGED = (
    "fine-tuning changed nothing: on a batch of the selected examples the tuned model gives what its base gives. "
    "Its scores are those of the base."
)


def carry_out(run: Run, say: Say = lambda message: None) -> tuple[Record, bool]:
    """The record of a run, and whether it was there already.

    A recorded run is run again only if its `reuse` or `retry` asks for it. Raises UserError if the pool cannot be
    read, the commit of what it needs of the hub is not known, the output folder cannot be written, or (reuse=verify) a file
    that the record rests on is damaged. Any later error ends in a record with the status "failed" and the reason.
    """
    records, store = Outputs(run.output_dir).records, open_store(run, say)
    record = new_record(run)
    require_commits(record.hub)
    with store.lock("run", record.key, record.name):
        if done := _reusable_record(run, record.key, records, store):
            return _asked_again(done, record, records), True
        with writing(records.folder(record.key)) as folder:
            (folder / TRACEBACK).unlink(missing_ok=True)
        try:
            _run_stages(run, record, folder, store, say)
            record.status = "finished"
        except NotApplicable as reason:
            record.status, record.reason = "skipped", str(reason)
        except UserError as error:
            record.reason = str(error)
            if isinstance(error, PluginError) and error.__cause__:
                record.reason += f" (traceback: {_keep_traceback(folder)})"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything: the run has failed, the sweep goes on
            record.reason = f"{described(error)} (traceback: {_keep_traceback(folder)})"
        _add_prices(record, run.price_per_hour)
        record.versions = versions()
        kept = checksums(folder)
        record.files = {name: kept[name] for name in (SELECTION, ITEMS) if name in kept}
        records.write(record)
    return record, False


def record_death(run: Run, reason: str, stack: str = "") -> Record:
    """The record of a run whose process died, or was ended, without leaving one: failed, for this reason.

    `stack` is where the process was, as far as it is known. A record that another process has finished meanwhile stands.
    """
    records, record = Outputs(run.output_dir).records, new_record(run)
    with open_store(run).lock("run", record.key, record.name):
        found = records.read(record.key)
        if found and found.status == "finished" and found.created >= _command_start(run):
            return found
        record.reason, record.versions = reason, versions()
        if stack:
            file = records.folder(record.key) / TRACEBACK
            with writing(file.parent), written_aside(file) as aside:
                aside.write_text(stack)
            record.reason += f" (traceback: {file})"
        records.write(record)
    return record


def _keep_traceback(folder: Path) -> Path:
    """Write the traceback of the error being handled beside the record, and say where."""
    with written_aside(folder / TRACEBACK) as aside:
        aside.write_text(traceback.format_exc())
    return folder / TRACEBACK


def open_store(run: Run, say: Say = lambda message: None) -> Store:
    """The store in the run's output folder, reused as the run's `reuse` and `shared_store` say."""
    return Store(
        Outputs(run.output_dir).store, reuse=run.reuse, since=_command_start(run), shared=run.shared_store, say=say
    )


def _command_start(run: Run) -> str:
    """The time at which this command began. All cells of a sweep share it: reuse=none computes a stage once a sweep."""
    if not run.sweep:
        return run.started
    return str(Outputs(run.output_dir).sweeps.open(run.sweep).about["started"])


def _reusable_record(run: Run, key: str, records: Records, store: Store) -> Record | None:
    """The record of this run; None if there is none, or if the run is to be carried out again.

    Raises UserError (reuse=verify) if a file that the record rests on is damaged.
    """
    record = records.read(key)
    if record is None:
        return None
    # A record that this command has written itself stands, whatever `reuse` and `retry` say.
    if record.created < _command_start(run):
        if run.reuse == "none" or (run.retry in (record.status, "all") and record.status != "finished"):
            return None
        if run.reuse == "verify" and (wrong := records.damage(record) or damaged(store.root, record.stages)):
            raise UserError(
                f"{record.name}: {records.folder(key)} cannot be relied on: {wrong}. reuse=none computes it again."
            )
    return record


def _asked_again(done: Record, asked: Record, records: Records) -> Record:
    """An earlier record of the run that is asked for, with this time, and with the keys that were not noted when it was made."""
    missing = {
        item.name: getattr(asked.axes, item.name)
        for item in dataclasses.fields(done.axes)
        if item.name.endswith(("_key", "_keys")) and not getattr(done.axes, item.name)
    }
    whole = dataclasses.replace(done, axes=dataclasses.replace(done.axes, **missing))
    if whole != done:
        records.write(whole)
    records.note_asked(whole, now())
    return whole


def _run_stages(run: Run, record: Record, folder: Path, store: Store, say: Say) -> None:
    """Select, train and evaluate. The record is filled stage by stage, so that a failed run keeps what was measured."""
    pools = pools_of(run)
    loaded, pool = pools["pool"], pools["pool"].pool
    for sentence in filter_sentences(run):
        say(sentence)
    record.stages |= keep_searches(pools, store)
    checked = check_leaks(pool, load_target(run), run.model_suites, store)
    _note_leaks(record, checked, ())
    for suite, about in record.leaks.items():  # before anything is spent
        for sentence in about.target_sentences(suite):
            say(f"warning: leak check: {sentence}.")

    tokens = np.zeros(len(pool), np.int64)
    if run.model.path:  # else it is a served model without a tokenizer here, and nothing is selected
        counted = TokenCounts(pool, run.model)
        tokens = counted.result(store)
        record.stages[counted.kind] = counted.key

    say("selecting")
    selected = selection_of(run, tokens, store)
    # In pool order, as the trainer sees them: two selectors that choose the same set share one fine-tuning.
    positions = sorted(pool.position(id) for id in selected.ids)
    chosen = [pool[position] for position in positions]
    facts = selection_facts(chosen, pool, tokens[positions], loaded.labels)
    shared = drawn_once(run.selector, pool, load_target(run)) if chosen else ()
    _note_selection(record, folder, selected, dataclasses.replace(facts, drawn_once=shared))
    if sentence := record.selection.stopped_short(run.budget_unit):
        say(sentence)
    if record.selection.repeats_much:
        say(f"warning: {record.selection.repeats} {REPEATS_HINT}")
    _note_leaks(record, checked, selected.ids)
    if sentence := record.leaks_selected:
        say(f"leak check: {sentence}")

    if not run.model_suites:
        results = {}
    elif not chosen:  # the arm `base`: the model is evaluated without fine-tuning
        results = _evaluate_all(run, fingerprint(run.model), lambda: run.model, store, say)
    elif tuned := trained_elsewhere(run):
        say("not fine-tuning: the model was trained elsewhere")
        results = _evaluate_all(run, fingerprint(tuned), lambda: tuned, store, say)
    else:
        _note_lengths(record, run, pool, np.asarray(positions), store, say)
        training = TrainingStage(run.trainer, chosen, run.model, run.seed)
        rests_on = [f"{SelectionStage.kind}/{selected.stages['selection']}"]
        with training.weights_held(store, keep=run.keep_models):
            results = _evaluate_all(run, training.key, lambda: training.result(store, say, rests_on), store, say)
        record.stages[training.kind] = training.key
        if stage := training.recall(store):
            record.cost["training"] = stage.cost
            record.logged |= {f"training/{name}": value for name, value in stage.logged.items()}
            record.training = record.training.with_log(stage.logged)
            record.unchanged = is_unchanged(stage.logged.get("output_change"))
        if record.unchanged:
            say(UNCHANGED)
    if chosen:
        results |= _score_selection(
            run, Chosen(tuple(example.id for example in chosen), pool, loaded.labels), store, say
        )
    _note_scores(record, folder, results, checked.items, say)


def _add_prices(record: Record, per_hour: float | None) -> None:
    """Add to each stage's cost the price of its device time, in the run's currency; nothing without a price per hour."""
    if per_hour is not None:
        for cost in record.cost.values():
            cost["money"] = per_hour * cost.get("wall_s", 0.0) / 3600


def _evaluate_all(run: Run, key: str, model: Callable[[], ModelRef], store: Store, say: Say) -> dict[str, Evaluated]:
    """Suite -> its scores of the model whose fingerprint or training key is `key`.

    `model` is called only if a suite has to be run.
    """
    # The arm `base`, and one trained elsewhere, have no seed: one evaluation of it stands beside those of all seeds.
    seed = run.seed if is_fine_tuned(run) else 0
    stages = {name: EvaluationStage(name, suite, key, seed) for name, suite in run.model_suites.items()}
    return {name: stage.result(store, model, say) for name, stage in stages.items()}


def _score_selection(run: Run, chosen: Chosen, store: Store, say: Say) -> dict[str, Evaluated]:
    """Suite -> its scores of the selection: they depend on nothing but what was chosen, and the labels of the pool."""
    if not run.selection_suites:
        return {}
    key = selection_key(chosen)
    stages = {name: EvaluationStage(name, suite, key, 0) for name, suite in run.selection_suites.items()}
    return {name: stage.result(store, lambda: chosen, say) for name, stage in stages.items()}


def _note_selection(record: Record, folder: Path, selected: Selected, about: SelectionFacts) -> None:
    record.selection = dataclasses.replace(about, margin=selected.margin, asked=selected.asked)
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


def _note_leaks(record: Record, found: LeaksFound, selected: Sequence[str]) -> None:
    summaries = found.summaries(selected)
    record.leaks = {suite: LeakSummary.read(about) for suite, about in summaries.items()}
    record.stages |= found.stages
    record.selection = dataclasses.replace(record.selection, leaked=selected_leaks(summaries))


def _note_scores(
    record: Record, folder: Path, results: dict[str, Evaluated], items_of: Mapping[str, Mapping[str, int]], say: Say
) -> None:
    import pandas as pd

    record.stages |= {f"evaluation/{name}": result.stage for name, result in results.items()}
    record.cost["evaluation"] = total_cost([result.cost for result in results.values()])
    record.scores = [
        row.out_of(items_of.get(row.suite, {}).get(row.task)) for result in results.values() for row in result.scores
    ]
    for row in record.scores:
        if row.headline and row.losses:
            say(f"warning: {row.losses}")
    items = pd.concat([pd.read_parquet(result.items).assign(suite=name) for name, result in results.items()])
    with written_aside(folder / ITEMS) as aside:
        items.to_parquet(aside, index=False)
