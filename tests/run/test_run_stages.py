"""The stages of a run have one shape: a stage's key, known before any work, is the folder that the store makes for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selbench.api import Context
from selbench.features.lengths import ResponseLength
from selbench.models import fingerprint
from selbench.run.carry_out import carry_out, open_store
from selbench.run.evaluate import EvaluationStage
from selbench.run.features import FeatureStage, feature_provider
from selbench.run.inputs import load_pool, load_target
from selbench.run.leak_check import LeakStage
from selbench.run.select import SelectionStage, make_budget
from selbench.run.tokens import TokenCounts
from selbench.run.train import TrainingStage
from selbench.run.training_lengths import TrainingLengths
from selbench.store.stages import EXECUTED, MANIFEST, Store


def _made(store: Store) -> set[str]:
    """The whole stages of a store, as "kind/name"."""
    return {f"{path.parent.parent.name}/{path.parent.name}" for path in store.root.glob(f"[!.]*/[!.]*/{MANIFEST}")}


def _say(message: str) -> None:
    """Nobody listens."""


def _stages(run) -> dict[str, tuple]:
    """Label in the record -> the stage, and what has it computed in a store."""
    pool, suite = load_pool(run.pool).pool, run.suites["toy_suite"]
    budget = make_budget(run.selector, pool, run.budget, run.budget_unit, None)
    selection = SelectionStage(run.selector, pool, budget, run.scorer, load_target(run), run.seed)
    chosen = [pool[position] for position in range(len(pool) - 10, len(pool))]  # the longest: row i has i + 1 words
    training = TrainingStage(run.trainer, chosen, run.model, run.seed)
    evaluation = EvaluationStage("toy_suite", suite, training.key, run.seed)
    feature, leaks = FeatureStage(ResponseLength(), pool, run.scorer), LeakStage(pool, suite)
    lengths, context = TrainingLengths(pool, run.model), Context(pool, scorer=run.scorer)
    return {
        "tokens": (TokenCounts.of(run), TokenCounts.of(run).result),
        "features/0": (feature, lambda store: feature_provider(store, [])(feature.spec, pool, context)),
        "selection": (selection, selection.result),
        "leaks/toy_suite": (leaks, leaks.result),
        "lengths": (lengths, lengths.result),
        "training": (training, lambda store: training.result(store, _say)),
        "evaluation/toy_suite": (
            evaluation,
            lambda store: evaluation.result(store, lambda: training.result(store, _say), _say),
        ),
    }


@pytest.fixture
def run(toy_run):
    return toy_run("selector=longest", "budget=10", "keep_models=true")


def test_the_key_of_each_stage_is_the_folder_that_the_store_makes(run):
    store = Store(run.output_dir / "store")
    for label, (stage, compute) in _stages(run).items():
        assert label.partition("/")[0] == stage.kind
        name = f"{stage.key}-10" if label == "selection" else stage.key  # a ranking also says how far it goes
        assert f"{stage.kind}/{name}" not in _made(store)
        compute(store)
        assert f"{stage.kind}/{name}" in _made(store), label
    assert len(_made(store)) == len(_stages(run))  # and no other


def test_a_record_names_the_stages_by_these_keys_and_a_second_run_makes_none(run):
    record, reused = carry_out(run)
    assert record.status == "finished" and not reused
    keys = {label: stage.key for label, (stage, _) in _stages(run).items()}
    assert record.stages == {**keys, "selection": f"{keys['selection']}-10"}
    store = open_store(run)
    executed = (store.root / EXECUTED).read_text()
    for _, compute in _stages(run).values():
        compute(store)
    assert carry_out(run) == (record, True)
    assert (store.root / EXECUTED).read_text() == executed


def test_the_base_model_is_evaluated_under_its_fingerprint_and_nothing_is_trained(toy_run):
    run = toy_run("selector=base", "seed=3")
    record, _ = carry_out(run)
    assert set(record.stages) == {"tokens", "leaks/toy_suite", "evaluation/toy_suite"}
    suite = run.suites["toy_suite"]
    assert record.stages["evaluation/toy_suite"] == EvaluationStage("", suite, fingerprint(run.model), 0).key


def test_a_feature_asked_for_twice_is_computed_once_and_noted_twice(run):
    store, pool, used = Store(run.output_dir / "store"), load_pool(run.pool).pool, []
    provide = feature_provider(store, used)
    first, again = (provide(ResponseLength(), pool, Context(pool, scorer=run.scorer)) for _ in range(2))
    assert [stage.reused for stage in used] == [False, True] and len({stage.key for stage in used}) == 1
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)


def test_a_stored_leak_check_that_is_cut_short_is_made_again(run):
    store, (leaks, _) = Store(run.output_dir / "store"), _stages(run)["leaks/toy_suite"]
    assert leaks.result(store) is None  # the toy suite gives no texts
    kept = store.root / "leaks" / leaks.key / "leaks.json"
    kept.write_text('{"che')
    assert leaks.result(store) is None and json.loads(kept.read_text())["checked"] is False


def test_weights_lie_in_the_stage_s_folder_and_go_unless_they_are_kept(run):
    store, (training, compute) = open_store(run), _stages(run)["training"]
    with training.weights_held(store, keep=True):
        path = Path(compute(store).path)
    assert (
        path.is_relative_to(store.root / "training" / training.key)
        and len(json.loads((path / "seen.json").read_text())) == 10
    )
    with pytest.raises(RuntimeError), training.weights_held(store, keep=False):
        raise RuntimeError("an evaluation failed")
    assert path.is_dir()
    with training.weights_held(store, keep=False):
        pass
    assert not path.exists() and training.recall(store).logged == {"steps": 10.0}


@pytest.mark.parametrize(
    ("selector", "status", "reason"),
    [
        ("shy", "skipped", "it has stage fright"),
        ("crashing", "failed", "ZeroDivisionError: "),
        ("too_few", "failed", "too little"),
    ],
)
def test_a_run_that_does_not_finish_keeps_the_stages_that_did(toy_run, selector, status, reason):
    record, _ = carry_out(toy_run(f"selector={selector}"))
    assert (record.status, list(record.stages)) == (status, ["leaks/toy_suite", "tokens"]) and reason in record.reason
