"""Records are read back as written, in this format and the one before; their names, settings and labels."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from selbench.errors import UserError
from selbench.store.axes import Axes, require_distinct_labels
from selbench.store.facts import LeakedTask, LeakSummary, ScoreRow, SelectionFacts
from selbench.store.records import FORMAT, RECORD, Record, Records
from selbench.store.setting import Setting

# A record as it was written before there was a format number, and before `selector_key`.
FIRST = {
    "key": "9a4f3fc42b06ad9bd9a2",
    "status": "finished",
    "axes": {
        "pool": "planted", "selector": "kcenter", "budget": 0.2, "budget_unit": "examples", "scorer": "big", "target": None,
        "model": "planted-1m", "trainer": "trl", "match": "epochs", "suites": ["planted"], "seed": 1,
        "pool_key": "3d4a", "trainer_key": "ef0a", "suite_keys": {"planted": "c071"},
    },
    "config": {"pool": {"size": 2000}, "selector": {"name": "kcenter"}},
    "comparison": "demo",
    "sweep": "20261121-142531-423c31-2369",
    "reason": "",
    "created": "2026-11-21T14:28:42.112+00:00",
    "command": "selbench -m experiment=demo",
    "seeds": {"selection": 1, "training": 2, "evaluation": 3},
    "stages": {"tokens": "8b22", "selection": "20cf-1600", "training": "b871", "evaluation/planted": "e004"},
    "scores": [
        {"suite": "planted", "task": "planted_add", "metric": "exact_match", "value": 0.25, "higher_is_better": True,
         "headline": True, "items": 45},
        {"suite": "planted", "task": "all", "metric": "loss", "value": 2.5, "higher_is_better": False,
         "headline": False, "items": 0},
    ],
    "selection": {
        "examples": 400, "response_tokens": 4000, "exact_duplicates": 1, "mean_prompt_chars": 30.5,
        "mean_response_chars": 9.0, "composition": {"skill": {"add": 400}}, "leaked": 2,
    },
    "leaks": {
        "planted": {
            "checked": True, "items": 90, "short": 3, "leaked": 2, "examples": 4, "selected": 2, "selected_items": 1,
            "target": {"maths": 1}, "selected_examples": ["a", "b"],
            "tasks": {
                "t": {"items": 45, "leaked": 1, "share": 0.5, "kinds": {"same": 1}, "examples": 2, "selected": 2,
                      "selected_items": 1},
                "u": {"items": 45, "leaked": 1, "share": 0.5, "kinds": {"part": 1}, "examples": 2, "selected": 0,
                      "selected_items": 0, "target": {"maths": 1}},
            },
        },
        "mine": {"checked": False},
    },
    "logged": {"training/steps": 50.0},
    "cost": {"selection": {"wall_s": 1.5}},
    "versions": {"selbench": "0.1.0"},
    "files": {"selection.json": {"bytes": 3, "sha256": "00"}},
}  # fmt: skip


def _kept(tmp_path, data) -> Records:
    (tmp_path / data["key"]).mkdir(parents=True)
    (tmp_path / data["key"] / RECORD).write_text(json.dumps(data))
    return Records(tmp_path)


def test_a_record_of_the_first_format_is_read_and_written_back_equal(tmp_path):
    record = _kept(tmp_path, FIRST).read(FIRST["key"])
    assert record.axes.selector == "kcenter" and record.axes.selector_key is None and record.axes.suites == ("planted",)
    assert record.scores[1] == ScoreRow("planted", "all", "loss", 2.5, False, False, 0)
    assert record.selection.leaked == 2 and record.selection.composition == {"skill": {"add": 400}}
    assert record.leaks["mine"] == LeakSummary(False)
    assert record.leaks["planted"].tasks["u"] == LeakedTask(45, 1, 0.5, {"part": 1}, 2, 0, 0, {"maths": 1})
    Records(tmp_path / "again").write(record)
    again = json.loads((tmp_path / "again" / FIRST["key"] / RECORD).read_text())
    assert again.pop("format") == FORMAT and again["axes"].pop("selector_key") is None
    later = ("model_key", "scorer_key", "target_key", "selector_code_key", "trainer_options_key", "suite_options_keys")
    assert not any(again["axes"].pop(name) for name in later)
    assert again.pop("unchanged") is None and again.pop("training") == again.pop("filters") == {}
    assert again.pop("hub") == [] and again["leaks"]["planted"].pop("target_examples") == {}
    assert not any(row.pop(name) for row in again["scores"] for name in ("cut", "left_out"))
    assert again["selection"].pop("margin") is again["selection"].pop("exact_duplicates_by_chance") is None
    assert again == FIRST


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    axes = Axes(
        selector="mads", selector_key="mads(k=3)", budget=0.15, model="big", scorer="small", seed=3, suites=("s",)
    )
    scores = [
        ScoreRow("s", task, "m", value, headline=headline)
        for task, value, headline in (("a", 0.2, True), ("b", 0.4, True), ("c", 9.0, False))
    ]
    record = Record("key", "finished", axes, {"x": np.int64(3)}, scores=scores, selection=SelectionFacts(3, leaked=0))
    records = Records(tmp_path)
    assert records.read("key") is None and records.keys() == []
    records.write(record)
    assert records.read("key") == dataclasses.replace(record, config={"x": 3})
    assert record.headline == {"s": pytest.approx(0.3)} and [row.task for row in record.headlines("s")] == ["a", "b"]
    assert record.name == axes.name == "mads 15% big via small s3"


def test_a_failed_run_has_no_facts_of_a_selection(tmp_path):
    Records(tmp_path).write(Record("key", "failed", Axes(selector="mads", model="m"), {}))
    assert json.loads((tmp_path / "key" / RECORD).read_text())["selection"] == {}
    assert Records(tmp_path).read("key").selection == SelectionFacts()


def test_fields_of_a_newer_format_are_left_out(tmp_path):
    newer = {**FIRST, "format": FORMAT + 1, "mood": "good", "axes": {**FIRST["axes"], "weather": "rain"}}
    newer["scores"] = [{**FIRST["scores"][0], "se": 0.1}]
    newer["selection"] = {**FIRST["selection"], "median": 3}
    record = _kept(tmp_path, newer).read(FIRST["key"])
    assert record.axes == Axes.read(FIRST["axes"]) and record.selection.examples == 400
    assert [row.task for row in record.scores] == ["planted_add"]


@pytest.mark.parametrize(
    "axes, label, name",
    [
        (Axes(selector="full", model="m", seed=0), "", "full m s0"),
        (Axes(selector="base", model="m"), "", "base m"),
        (Axes(selector="mads", budget=7800, model="m", scorer="m", seed=1), "7800", "mads 7800 m s1"),
        (Axes(selector="mads", budget=500, budget_unit="tokens", model="m", seed=1), "500 tok", "mads 500 tok m s1"),
        (Axes(selector="mads", budget=1.0, model="m", scorer="", seed=1), "100%", "mads 100% m s1"),
    ],
)
def test_the_name_of_a_run_has_the_axes_that_tell_it_apart(axes, label, name):
    assert (axes.budget_label, axes.name) == (label, name)


def _record(**axes) -> Record:
    plain = {"pool": "p", "pool_key": "pk", "model": "m", "trainer_key": "tk", "suite_keys": {"s": "sk"}, "budget": 0.1}
    return Record("k", "finished", Axes.read({**plain, **axes}), {})


def test_runs_are_comparable_by_keys_whatever_the_names_say():
    mine = Setting.of(_record())
    assert mine.meets(Setting.of(_record(pool="renamed", trainer="renamed", seed=4, selector="other")))
    assert mine.meets(Setting.of(_record(budget=None))) and mine.meets(Setting.of(_record(trainer_key=None)))
    for other in ({"pool_key": "x"}, {"model": "x"}, {"trainer_key": "x"}, {"suite_keys": {"s": "x"}}, {"budget": 0.2},
                  {"suite_keys": {}}):  # fmt: skip
        assert not mine.meets(Setting.of(_record(**other))), other
        assert not Setting.of(_record(**other)).meets(mine), other
    assert not mine.meets(Setting.of(dataclasses.replace(_record(), comparison="other")))


def test_a_board_shows_one_pool_under_one_name():
    from selbench.report.tidy import runs_table

    rows = [ScoreRow("s", "t", "m", 0.5)]
    records = [dataclasses.replace(_record(pool=name, selector=name, seed=0), scores=rows) for name in ("p", "renamed")]
    assert list(runs_table(records)["pool"]) == ["p", "p"]
    other = dataclasses.replace(_record(pool="other", pool_key="x", selector="q", seed=0), scores=rows)
    assert list(runs_table([*records, other])["pool"]) == ["p", "p", "other"]


def test_two_arms_with_one_label_are_an_error_that_names_both():
    last, every = (Axes(selector="short", selector_key=f"mads(layers={layers})") for layers in ("last", "all"))
    with pytest.raises(UserError, match=r"'short': mads\(layers=last\) and mads\(layers=all\)"):
        require_distinct_labels([last, every])
    require_distinct_labels([last, last, Axes(selector="short"), Axes(selector="mads", selector_key="mads")])
    # Names on the board differ through the scorer.
    require_distinct_labels([last, dataclasses.replace(every, scorer="small", model="big")])
