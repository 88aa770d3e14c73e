"""From records to the board: means, standard errors, paired differences; which runs may be compared at all."""

from __future__ import annotations

import math

import pytest

from selbench.report.leaderboard import show
from selbench.report.scores import board, runs_table
from selbench.store.records import Record


def record(selector: str, seed: int | None, score: float, key: str | None = None, **changes) -> Record:
    axes = {
        "selector": selector, "budget": None if selector in ("base", "full") else 0.1, "budget_unit": "examples",
        "scorer": None, "model": "m", "pool": "p", "pool_key": "pk", "trainer": None if selector == "base" else "trl",
        "match": None if selector == "base" else "epochs", "trainer_key": None if selector == "base" else "tk",
        "suite_keys": {"s": "sk"}, "suites": ["s"], "seed": seed, **changes,
    }  # fmt: skip
    row = {
        "suite": "s",
        "task": "t",
        "metric": "acc",
        "value": score,
        "higher_is_better": True,
        "headline": True,
        "items": 5,
    }
    return Record(key or f"{selector}{seed}{changes}", "finished", axes, {}, scores=[row], selection={"examples": 10})


def rows(*records: Record, **options):
    return {(row["selector"], row["budget"]): row for row in board(runs_table(records), **options).to_dict("records")}


def test_means_standard_errors_and_differences_paired_by_seed():
    found = rows(
        *(record("random", seed, score) for seed, score in enumerate((0.1, 0.2, 0.3))),
        *(record("mads", seed, score) for seed, score in enumerate((0.2, 0.3, 0.7))),
    )
    mads = found["mads", "10%"]
    assert mads["score"] == pytest.approx(0.4) and mads["seeds"] == 3
    assert mads["se"] == pytest.approx(math.sqrt(0.07 / 3))
    assert mads["vs_baseline"] == pytest.approx(0.2)  # 0.1, 0.1, 0.4
    assert mads["vs_baseline_se"] == pytest.approx(math.sqrt(0.03 / 3))
    assert math.isnan(found["random", "10%"]["vs_baseline"])
    assert rows(record("mads", 0, 0.2), record("other", 0, 0.1), baseline="other")["mads", "10%"][
        "vs_baseline"
    ] == pytest.approx(0.1)


def test_one_seed_has_no_error_and_a_missing_partner_no_difference():
    found = rows(record("random", 0, 0.1), record("mads", 1, 0.2))
    assert math.isnan(found["mads", "10%"]["se"]) and math.isnan(found["mads", "10%"]["vs_baseline"])


def test_runs_of_another_setting_are_not_averaged_together():
    table = board(runs_table([record("random", 0, 0.1), record("random", 0, 0.9, trainer_key="other")]))
    assert sorted(table["score"]) == [0.1, 0.9]
    table = board(runs_table([record("random", 0, 0.1), record("random", 0, 0.9, pool_key="other")]))
    assert len(table) == 2


def test_of_two_runs_of_one_cell_the_later_counts():
    assert (
        rows(record("random", 0, 0.1, key="old"), record("random", 0, 0.3, key="new"))["random", "10%"]["score"] == 0.3
    )


def test_base_stands_in_every_setting():
    table = board(
        runs_table([record("base", None, 0.0), record("random", 0, 0.1), record("random", 0, 0.9, trainer_key="other")])
    )
    assert sorted(zip(table["selector"], table["trainer_key"])) == [
        ("base", "other"), ("base", "tk"), ("random", "other"), ("random", "tk"),
    ]  # fmt: skip
    assert len(board(runs_table([record("base", None, 0.0)]))) == 1


def test_lower_is_better_is_sorted_the_other_way():
    records = [record("random", 0, 3.0), record("mads", 0, 2.0)]
    for item in records:
        item.scores[0]["higher_is_better"] = False
    assert list(board(runs_table(records))["selector"]) == ["mads", "random"]


def test_text_from_data_is_never_markup(capsys):
    show([record("[red]x[/red]", 0, 0.5)])
    out = capsys.readouterr()
    assert "[red]x[/red]" in out.out and "no arm `random`" in out.err


def test_published_figures_stand_beside_the_measured(capsys):
    item = record("random", 0, 0.5)
    item.config["published"] = {"source": "a paper", "rows": [{"selector": "mads", "score": 37.7}]}
    show([item])
    out = capsys.readouterr().out
    assert "published, not measured here: a paper" in out and "37.7" in out
