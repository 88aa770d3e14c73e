"""The parts of a plan: model sizes, extrapolation, power, totals, and the comparison with what was then done."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from selbench.api import ModelRef
from selbench.config.runs import compose_run
from selbench.planning.demands import Cell
from selbench.planning.detectable import detectables
from selbench.planning.estimates import Estimator, fitted_seconds
from selbench.planning.flops import count_parameters, parameters
from selbench.planning.past import Past
from selbench.planning.plan import Detectable, Plan, PlannedCell, PlannedStage, Settings
from selbench.planning.planned_and_actual import compare_plan, compare_sweep
from selbench.planning.planner import plan_of
from selbench.planning.suites import suite_reading
from selbench.planning.tables import detectable_lines, markdown
from selbench.planning.work import Work
from selbench.plugins import discover
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow
from selbench.store.keys import digest
from selbench.store.records import Record
from selbench.store.stages import Store


@pytest.fixture(scope="module")
def registry():
    from selbench.config.schemas import register

    found = discover()
    register(found)
    return found


def test_parameters_are_those_of_the_weights(registry):
    for name in ("planted-1m", "planted-4m"):
        model = compose_run([f"model={name}"], registry).model
        with open(f"{model.path}/model.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        held = sum(math.prod(tensor["shape"]) for key, tensor in header.items() if key != "__metadata__")
        assert parameters(model) == pytest.approx(held, rel=0.005)


def test_parameters_of_known_architectures():
    llama = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
             "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False}  # fmt: skip
    assert count_parameters(llama) == pytest.approx(8.03e9, rel=0.001)
    gpt2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    assert count_parameters(gpt2) == pytest.approx(124e6, rel=0.01)
    assert count_parameters({"model_type": "unheard-of"}) is None


@pytest.mark.parametrize(
    "name, size", [("qwen2.5-0.5b", 5e8), ("llama-2-7b", 7e9), ("stories-260k", 2.6e5), ("gpt2", None), ("q4bit", None)]
)
def test_the_size_of_a_model_that_is_not_on_this_machine_comes_from_its_name(name, size):
    assert parameters(ModelRef(name=name, path=f"nobody/{name}")) == size


def test_fitted_seconds_tell_a_fixed_cost_from_a_rate_and_ignore_the_first_slow_stage():
    points = [(100.0, 9.0), *((n, 2.0 + n / 100) for n in (100.0, 100.0, 200.0, 200.0, 400.0))]
    assert fitted_seconds(points, 1000.0) == pytest.approx(12.0)
    assert fitted_seconds([(100.0, 1.0), (100.0, 1.2), (100.0, 5.0)], 200.0) == pytest.approx(
        2.4
    )  # one size: proportional


def _stage(store: Store, n: int, seconds: float, model: str = "m") -> None:
    identity = {"trainer": {"name": "trl", "options": {}}, "model": model, "n": n}
    key = store.key("training", identity)
    manifest = {"kind": "training", "key": key, "identity": identity, "cost": {"wall_s": seconds}, "logged": {"tokens_seen": n},
                "files": {"weights": {"bytes": 4000}}}  # fmt: skip
    (store.root / "training" / key).mkdir(parents=True)
    (store.root / "training" / key / "dropped.json").write_text(json.dumps(manifest))


def test_estimates_come_from_past_stages_of_the_same_model_else_from_operations(tmp_path):
    store = Store(tmp_path)
    of = {"options": digest({}), "parameters": 1e9, "sizes": {"tokens": 4000.0}, "tokens": 4000, "flops": 6e9 * 4000}
    work = Work("training", "trl", model="m", **of)
    without = Estimator(Past(tmp_path, []), Settings(flops_per_s=1e12)).of(work)
    assert without.seconds == pytest.approx(24.0) and without.source.startswith("FLOPs model at 1,000 GFLOP/s as set")
    for n in (1000, 2000):
        _stage(store, n, 3.0 + n / 1000)
    guess = Estimator(Past(tmp_path, []), Settings()).of(work)
    assert guess.seconds == pytest.approx(7.0) and (guess.source, guess.basis) == ("like 2 past stages", "measured")
    assert guess.bytes == 4000
    other = Work("training", "trl", model="unseen", parameters=1e9, sizes={"tokens": 4000.0}, flops=6e9 * 4000)
    assert Estimator(Past(tmp_path, []), Settings()).of(other).source.startswith("FLOPs model")
    nothing = Work("training", "trl", model="unseen", sizes={"tokens": 4000.0})
    assert Estimator(Past(tmp_path, []), Settings()).of(nothing).seconds is None


def test_how_much_a_suite_reads_comes_from_its_tasks(registry):
    cells = {name: compose_run([f"suite=[{name}]"], registry).suites[name] for name in ("mmlu", "gsm8k", "planted")}
    mmlu, gsm8k, planted = (suite_reading(suite, 1000) for suite in cells.values())
    assert (mmlu.items, mmlu.lengths, mmlu.known) == (14_042, 14_042 * 4 * 6, True)
    assert (gsm8k.items, gsm8k.lengths) == (1_319, 1_319 * 9)
    assert (planted.items, planted.lengths, planted.known) == (1000, 1000, False)
    few = compose_run(["suite=[mmlu]", "suite.mmlu.limit=100"], registry).suites["mmlu"]
    assert suite_reading(few, 1000).items == 5700


def test_the_detectable_difference_follows_from_the_seeds_and_the_spread(registry):
    runs = [
        compose_run([f"seed={seed}", f"selector={name}"], registry) for name in ("random", "base") for seed in range(3)
    ]
    cells = [Cell(number, run, str(number), "", None) for number, run in enumerate(runs, 1)]
    typical, poor = detectables(cells, [])
    assert (
        typical.seeds == 3 and typical.guess and poor.difference == pytest.approx(typical.difference * 0.021 / 0.0047)
    )
    past = [_past("a", 0, 0.1), _past("a", 1, 0.14), _past("b", 0, 0.14), _past("b", 1, 0.1), _past("d", 0, 0.9)]
    (seen,) = detectables(cells, past)
    assert seen.source == "seen in 2 past arms" and seen.guess  # one degree of freedom
    assert seen.spread == pytest.approx(0.04)  # four deviations of 0.02
    # What all arms share under a seed is no noise of their differences, and the later of two records counts.
    lucky = [_past(one.axes.selector, one.axes.seed, one.headline["planted"] + one.axes.seed) for one in past]
    assert detectables(cells, [*past, *lucky])[0].spread == pytest.approx(0.04)
    assert len(detectables(cells, [_past("a", seed, 0.3) for seed in range(3)])) == 2  # equal scores tell no spread
    (_, one) = detectables(cells[:1], [])
    assert one.seeds == 1 and one.difference is None


def test_the_detectable_difference_is_that_of_a_corrected_verdict_among_all_planned_arms(registry):
    def cells(*arms: str, seeds: int = 3) -> list[Cell]:
        runs = [compose_run([f"seed={seed}", f"selector={name}"], registry) for name in arms for seed in range(seeds)]
        return [Cell(number, run, str(number), "", None) for number, run in enumerate(runs, 1)]

    rng = np.random.default_rng(0)
    past = [_past(arm, seed, rng.normal(0, 0.02)) for arm in "abcdef" for seed in range(4)]
    (two,), (four,) = (
        detectables(cells(*arms), past) for arms in (("random", "longest"), ("random", "longest", "kcenter", "mads"))
    )
    assert (two.arms, four.arms) == (2, 4) and not four.guess
    assert four.difference > 1.1 * two.difference > 0
    # The usual formula, uncorrected and with a known spread, promises what a board of four arms does not keep.
    usual = stats.t.isf(0.025, 4) + stats.t.isf(0.2, 4)
    assert four.difference > 1.5 * usual * four.spread * (2 / 3) ** 0.5


def test_what_nothing_is_known_of_is_not_stated(registry, tmp_path):
    heldout = tmp_path / "heldout.jsonl"
    heldout.write_text('{"prompt": "a", "completion": "b"}\n')
    options = ["suite=response_loss", f"+suite.response_loss.sets.mine={heldout}"]
    runs = [compose_run([*options, f"seed={seed}"], registry) for seed in (0, 1)]
    (row,) = detectables([Cell(i, run, str(i), "", None) for i, run in enumerate(runs, 1)], [])
    assert row.difference is None and row.spread is None
    (line,) = detectable_lines(_plan(detectable=(row,)))
    assert line.endswith("its scores have no fixed range: what 2 seeds can show is not known before the first runs")
    elsewhere = [
        dataclasses.replace(_past(arm, seed, score), scores=[ScoreRow("response_loss", "t", "bits_per_byte", score)])
        for arm, scores in (("a", (4.0, 5.0)), ("b", (5.0, 4.0)))
        for seed, score in enumerate(scores)
    ]
    for one in elsewhere:
        one.axes = dataclasses.replace(one.axes, model="another")
    (row,) = detectables([Cell(i, run, str(i), "", None) for i, run in enumerate(runs, 1)], elsewhere)
    assert row.spread == pytest.approx(1.0) and row.difference > row.spread and row.guess
    assert row.source == "seen in 2 past arms on other models"


def _past(selector: str, seed: int, score: float) -> Record:
    axes = Axes(selector=selector, model="planted-1m", seed=seed, suite_keys={"planted": "k"})
    return Record(f"{selector}{seed}", "finished", axes, {}, scores=[ScoreRow("planted", "t", "acc", score)])


def _plan(**changes) -> Plan:
    stages = (
        PlannedStage("selection", "s1", "random", "cached"),
        PlannedStage("training", "?t", "random", "to run", False, 3600.0, 5e6, 100.0, "like 6 past stages"),
        PlannedStage("evaluation", "?e", "planted", "to run", False, None, 10.0, 50.0, "no estimate"),
    )
    cells = (PlannedCell(1, "random 10% m s0", "k", "new", True, ("s1", "?t", "?e")),)
    given = {"created": "2026-01-01T00:00:00.000+00:00", "settings": Settings(price=2.5, currency="EUR"), "cells": cells,
             "stages": stages, "record_bytes": 7.0, "free_bytes": 1e9}  # fmt: skip
    return Plan(**{**given, **changes})


def test_totals_count_time_money_and_space_of_what_is_to_run():
    total = _plan().total
    assert (total["needed"], total["cached"], total["to_run"], total["unknown"]) == (3, 1, 2, 1)
    assert (total["seconds"], total["money"], total["bytes"], total["at_most"]) == (3600.0, 2.5, 157.0, True)
    assert _plan().fits and not _plan(free_bytes=150.0).fits and not _plan(peak_bytes=1e9).fits


def test_a_plan_is_read_back_from_its_json():
    plan = _plan(detectable=(Detectable("planted", "m", 3, 0.01, None, "published"),), warnings=("careful",))
    assert Plan.from_json(plan.to_json()) == plan
    for text in ("{}", "[]", '{"totals": [], "cells": 3}'):
        with pytest.raises(ValueError):
            Plan.from_json(text)


def test_markdown_is_one_table_with_as_many_cells_in_every_row():
    rows = [text for text in markdown(_plan()).splitlines() if text.startswith("|")]
    assert {text.count("|") for text in rows} == {10} and len(rows) == 2 + 4
    assert "60 min + 1 unknown" in rows[-1] and "2.50 EUR" in rows[-1] and "≤ 2" in rows[-1]


def test_a_plan_is_compared_with_the_stages_made_since(tmp_path):
    stages = {"selection": "s1-80", "training": "t9", "evaluation/planted": "e9"}
    cost = {"selection": {"wall_s": 5.0}, "training": {"wall_s": 1800.0}, "evaluation": {"wall_s": 60.0}}
    record = Record("k", "finished", Axes(), {}, stages=stages, cost=cost)
    rows = {row["stage"]: row for row in compare_plan(_plan(), [record, record])}
    assert rows["training"] == {
        "stage": "training", "planned_s": 3600.0, "actual_s": 1800.0, "planned_n": 1, "actual_n": 1, "ratio": 0.5,
    }  # fmt: skip
    assert rows["evaluation"]["ratio"] is None and rows["evaluation"]["actual_n"] == 1
    made = [("training", "t9", "2026-01-02", 900.0), ("training", "t9", "2026-01-03", 1000.0),
            ("training", "t9", "2025-12-31", 7.0),
            ("training", "another", "2026-01-02", 7.0), ("selection", "s1-80", "2026-01-02", 2.0)]  # fmt: skip
    lines = [json.dumps({"kind": k, "key": key, "created": when, "wall_s": s}) for k, key, when, s in made]
    (tmp_path / "executed.jsonl").write_text("\n".join([*lines, '{"kind": "mod']))
    rows = {row["stage"]: row for row in compare_plan(_plan(), [record], tmp_path)}
    assert (rows["training"]["actual_n"], rows["training"]["actual_s"]) == (2, 1900.0)  # one was made twice
    assert (rows["selection"]["planned_n"], rows["selection"]["actual_n"]) == (0, 1)
    assert (rows["total"]["planned_n"], rows["total"]["actual_n"], rows["total"]["actual_s"]) == (2, 3, 1902.0)
    assert compare_sweep(tmp_path, [record], tmp_path) == []
    (tmp_path / "plan.json").write_text(_plan().to_json())
    assert compare_sweep(tmp_path, [record], tmp_path) == list(rows.values())


def test_the_features_that_a_selector_names_are_planned_with_those_they_are_built_on(registry, tmp_path):
    def needed(*options):
        grid = [f"output_dir={tmp_path}", "pool.size=50", *options]
        plan = plan_of(
            [
                compose_run([*grid, f"selector={name}", f"budget={budget}", f"seed={seed}"], registry)
                for name in ("sae_greedselect", "sae_simscale")
                for budget in (5, 10)
                for seed in (0, 1)
            ]
        )
        return {row["stage"]: row["to_run"] for row in plan.totals}

    shared = {"tokens": 1, "autoencoder": 1, "features": 1, "selection": 2, "leaks": 1, "lengths": 1}
    assert needed("selector.sae_seed=0") == {**shared, "training": 8, "evaluation": 8, "total": 23}
    # By default an autoencoder for each seed, which both selectors and budgets share.
    of_seeds = {**shared, "autoencoder": 2, "features": 2, "selection": 4}
    assert needed() == {**of_seeds, "training": 8, "evaluation": 8, "total": 27}


def test_a_budget_in_tokens_can_be_planned_before_the_tokens_are_counted(registry, tmp_path):
    plan = plan_of(
        [compose_run([f"output_dir={tmp_path}", "pool.size=50", "budget=60", "budget_unit=tokens"], registry)]
    )
    (selection,) = [stage for stage in plan.stages if stage.stage == "selection"]
    assert not selection.exact and selection.status == "to run"
    assert np.isfinite(plan.total["seconds"])
