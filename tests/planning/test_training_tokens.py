"""What a fine-tuning is planned to go through: the tokens of the examples of its own arm, after cutting and dropping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selbench.config.runs import compose_run
from selbench.config.schemas import register
from selbench.models import light_tokenizer
from selbench.planning.estimates import Estimator, fitted_seconds
from selbench.planning.past import Past
from selbench.planning.plan import Detectable, Plan, Settings
from selbench.planning.planner import plan_of
from selbench.planning.tables import detectable_lines
from selbench.planning.work import Work
from selbench.plugins import discover
from selbench.run.inputs import load_pool
from selbench.run.training_lengths import measured_lengths
from selbench.settings import Run
from selbench.store.cost import measure
from selbench.store.files import write_json
from selbench.store.keys import digest, plugin_identity
from selbench.store.outputs import Outputs
from selbench.store.stages import Store


@pytest.fixture(scope="module")
def registry():
    found = discover()
    register(found)
    return found


@pytest.fixture
def run(registry, tmp_path: Path):
    def make(*options: str) -> Run:
        return compose_run(["pool.size=200", "budget=20", f"output_dir={tmp_path}", *options], registry)

    return make


def _tokens(*runs: Run) -> list[float]:
    return [stage.tokens for stage in plan_of(runs).stages if stage.stage == "training"]


def _lengths(run: Run):
    return measured_lengths(load_pool(run.pool).pool, light_tokenizer(run.model))


def test_an_arm_of_long_examples_is_planned_with_more_tokens_than_one_of_average_ones(run):
    average, longest = _tokens(run("trainer.epochs=2"), run("selector=longest", "trainer.epochs=2"))
    lengths = _lengths(run())
    top = np.argsort(-lengths.in_loss(), kind="stable")[:20]
    assert longest == pytest.approx(2 * lengths.tokens[top].sum())
    assert average == pytest.approx(2 * 20 * lengths.tokens.mean())
    assert longest > 1.1 * average


def test_what_a_context_cuts_and_drops_is_not_planned_to_be_trained_on(run):
    short = run("model.max_length=16", "trainer.epochs=1", "selector=full")
    lengths = _lengths(short)
    kept = np.minimum(lengths.tokens, 16)[lengths.in_loss(16) > 0]
    assert 0 < len(kept) < 200, "some are to be dropped, and not all"
    assert _tokens(short) == [pytest.approx(kept.sum())]
    (steps,) = _tokens(run("model.max_length=16", "trainer.match=steps", "trainer.steps=7", "trainer.batch_size=3"))
    assert steps == pytest.approx(7 * 3 * kept.mean())
    (nothing,) = _tokens(run("model.max_length=2"))
    assert nothing == 0


def _remember(run: Run, chosen: list[str], **changes: Any) -> None:
    """A past selection of the run's selector from its pool, in its store."""
    about = plugin_identity(run.selector)
    identity = {"selector": {**about, "source": "older"}, "pool": load_pool(run.pool).pool.fingerprint,
                "budget": ["examples", None, None], **changes}  # fmt: skip
    store = Store(Outputs(run.output_dir).store)
    compute = lambda folder: write_json(folder / "selection.json", {"ids": chosen})  # noqa: E731
    store.ranking("selection", identity, compute, least=len(chosen), reach=len(chosen))


def test_what_an_arm_selected_in_the_past_stands_for_what_it_will_select(run):
    mads = run("selector=mads", "trainer.epochs=1")
    pool, lengths = load_pool(mads.pool).pool, _lengths(mads)
    (before,) = _tokens(mads)
    shortest = np.argsort(lengths.tokens, kind="stable")[:20]
    _remember(mads, [pool.ids[i] for i in shortest], pool="another pool")
    _remember(mads, [pool.ids[i] for i in shortest], selector={"name": "mads", "options": {"of": "another arm"}})
    assert _tokens(mads) == [before]
    _remember(mads, [pool.ids[i] for i in shortest])
    plan = plan_of([mads])
    (training,) = [stage for stage in plan.stages if stage.stage == "training"]
    assert training.tokens == pytest.approx(lengths.tokens[shortest].sum()) and training.tokens < 0.8 * before
    assert "tokens of 1 past selection of this arm" in training.source


def _past_stage(root: Path, n: int, seconds: float, tokens: float, **changes: Any) -> None:
    identity = {"trainer": {"name": "trl", "options": {}}, "model": "m", "n": n}
    manifest = {"kind": "training", "key": f"k{n}", "identity": identity, "cost": {"wall_s": seconds},
                "logged": {"tokens_seen": tokens}, "files": {}, **changes}  # fmt: skip
    folder = root / "training" / f"k{n}"
    folder.mkdir(parents=True)
    (folder / "dropped.json").write_text(json.dumps(manifest))


WORK = {"kind": "training", "plugin": "trl", "model": "m", "parameters": 1e9, "sizes": {"tokens": 4000.0},
        "tokens": 4000, "flops": 6e9 * 4000}  # fmt: skip


def test_stages_of_this_kind_of_device_count_before_those_of_another(tmp_path):
    work = Work(options=digest({}), **WORK)
    _past_stage(tmp_path, 1, 2.0, 4000, device="cuda")
    elsewhere = Estimator(Past(tmp_path, []), Settings(flops_per_s=1e12), gpu=False).of(work)
    assert elsewhere.basis == "scaled" and elsewhere.source.endswith("past stage on cuda")
    assert 2.0 < elsewhere.seconds < 24.0  # between that of the other device and that of the formula
    _past_stage(tmp_path, 2, 9.0, 4000, device="cpu")
    here = Estimator(Past(tmp_path, []), Settings(), gpu=False).of(work)
    assert (here.seconds, here.basis, here.source) == (pytest.approx(9.0), "measured", "like 1 past stage")
    there = Estimator(Past(tmp_path, []), Settings(), gpu=True).of(work)
    assert (there.seconds, there.basis) == (pytest.approx(2.0), "measured")


def test_a_time_of_other_options_is_drawn_towards_the_formula_the_more_the_fewer_stages_there_are(tmp_path):
    work = Work(options="others", **WORK)  # 24 s by the formula
    settings, seconds = Settings(flops_per_s=1e12), [24.0]
    for n in (1, 2, 3):
        _past_stage(tmp_path, n, 6.0, 4000)
        guess = Estimator(Past(tmp_path, []), settings, gpu=False).of(work)
        assert guess.basis == "scaled" and "with other options" in guess.source
        seconds.append(guess.seconds)
    assert seconds == sorted(seconds, reverse=True) and 6.0 < seconds[-1] < seconds[1] < 9.0


def test_the_time_to_start_does_not_grow_with_the_size():
    assert fitted_seconds([(100.0, 3.0)], 1000.0) == pytest.approx(30.0)
    assert fitted_seconds([(100.0, 3.0)], 1000.0, start=1.0) == pytest.approx(21.0)
    assert fitted_seconds([(100.0, 0.2)], 1000.0, start=5.0) == pytest.approx(1.1)  # never more than half of it


def test_what_one_seed_cannot_show_is_said_once_for_all_suites_and_models():
    rows = [Detectable(suite, "m", 1, sd, None, "published") for suite in ("quiz", "other") for sd in (0.1, 0.2)]

    def lines(*rows):
        return list(
            detectable_lines(Plan(created="2026", settings=Settings(), cells=(), stages=(), detectable=tuple(rows)))
        )

    (line,) = lines(*rows)
    assert line.startswith("quiz, other on m: one seed cannot show any difference")
    (line,) = lines(*rows, Detectable("quiz", "n", 1, 0.1, None, "published"))
    assert line.startswith("quiz on m, other on m, quiz on n: ")
    more = Detectable("other", "n", 2, 0.1, 0.3, "seen in 4 past arms")
    assert [line.split(":")[0] for line in lines(*rows, more)] == ["quiz, other on m", "other on n"]


def test_a_measurement_inside_another_does_not_raise_its_peak_nor_make_it_forget_it():
    with measure() as outer:
        big = np.ones(30_000_000)
        del big
        with measure() as inner:
            bigger = np.ones(60_000_000)
            del bigger
    assert inner["peak_bytes"] - outer["peak_bytes"] > 1e8
    with measure() as empty:
        pass
    assert outer["peak_bytes"] - empty["peak_bytes"] > 1e8
