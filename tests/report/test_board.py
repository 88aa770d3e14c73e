"""From records and files of scores to the board and its files: which runs share a row, which figures, which text."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from selbench.cli.main import run as command
from selbench.errors import UserError
from selbench.report.leaderboard import board_of, show_records
from selbench.report.plain_scores import parse_map, read_scores
from selbench.report.tables import board_frame, board_markdown
from selbench.report.tidy import runs_table, task_table
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow, SelectionFacts, TrainingFacts
from selbench.store.item_scores import ItemScores
from selbench.store.records import Record


def record(
    selector: str, seed: int | None, score: float, key: str | None = None, tokens: int = 100, **changes
) -> Record:
    axes = Axes.read({
        "selector": selector, "budget": None if selector in ("base", "full") else 0.1, "budget_unit": "examples",
        "scorer": None, "model": "m", "pool": "p", "pool_key": "pk", "trainer": None if selector == "base" else "trl",
        "match": None if selector == "base" else "epochs", "trainer_key": None if selector == "base" else "tk",
        "suite_keys": {"s": "sk"}, "suites": ["s"], "seed": seed, **changes,
    })  # fmt: skip
    row = ScoreRow("s", "t", "acc", score, items=5)
    selection = SelectionFacts(examples=10, response_tokens=tokens)
    return Record(key or f"{selector}{seed}{changes}", "finished", axes, {}, scores=[row], selection=selection)


def board(*records: Record, **options):
    return board_of(list(records), **options)


def rows(*records: Record, **options):
    return {row.arm: row for table in board(*records, **options).tables for row in table.rows}


def test_means_standard_errors_and_differences_paired_by_seed():
    found = rows(
        *(record("random", seed, score) for seed, score in enumerate((0.1, 0.2, 0.3))),
        *(record("mads", seed, score) for seed, score in enumerate((0.2, 0.3, 0.7))),
        test="paired",
    )
    mads = found["mads"]
    assert mads.score == pytest.approx(0.4) and mads.seeds == 3
    assert mads.se == pytest.approx(math.sqrt(0.07 / 3))
    assert mads.vs_baseline.mean == pytest.approx(0.2)  # 0.1, 0.1, 0.4
    assert mads.vs_baseline.se == pytest.approx(math.sqrt(0.03 / 3))
    assert found["random"].vs_baseline is None
    other = rows(record("mads", 0, 0.2), record("other", 0, 0.1), baseline="other")
    assert other["mads"].vs_baseline.mean == pytest.approx(0.1)


def test_one_seed_has_no_error_and_a_missing_partner_no_difference():
    found = rows(record("random", 0, 0.1), record("mads", 1, 0.2), test="paired")
    assert math.isnan(found["mads"].se) and math.isnan(found["mads"].vs_baseline.mean)


def test_runs_of_another_setting_are_not_averaged_together():
    for key in ("trainer_key", "pool_key"):
        table = board_frame(board(record("random", 0, 0.1), record("random", 0, 0.9, **{key: "other"})))
        assert sorted(table["score"]) == [0.1, 0.9]


def test_of_two_runs_of_one_cell_the_later_counts():
    found = rows(record("random", 0, 0.1, key="old"), record("random", 0, 0.3, key="new"))
    assert found["random"].score == 0.3 and found["random"].runs == ("new",)


def test_base_stands_in_every_setting():
    table = runs_table([record("base", None, 0.0), record("random", 0, 0.1), record("random", 0, 0.9, trainer_key="x")])
    assert sorted(zip(table["selector"], table["trainer_key"])) == [
        ("base", "tk"), ("base", "x"), ("random", "tk"), ("random", "x"),
    ]  # fmt: skip
    assert len(board(record("base", None, 0.0)).tables) == 1


def test_items_take_part_where_their_mean_is_the_score(tmp_path):
    records = [record(arm, seed, 0.0) for arm in ("random", "mads") for seed in (0, 1)]
    rng = np.random.default_rng(0)
    hard = {"random": rng.random(30), "mads": rng.random(30)}  # items that one arm knows and the other does not
    for one in records:
        values = np.round(hard[one.axes.selector] + 0.1 * rng.random(30))
        one.scores[0] = replace(one.scores[0], value=float(values.mean()))
        folder = tmp_path / one.key
        folder.mkdir()
        items = {"suite": "s", "task": "t", "metric": "acc", "item": range(30), "value": values}
        pd.DataFrame(items).to_parquet(folder / "items.parquet")
    pair = board_of(records, tmp_path).tables[0].pairs[0]
    assert pair.se_item > 0 and pair.se > pair.se_seed
    records[0].scores[0] = replace(records[0].scores[0], value=7.0)  # a metric of the whole set
    assert ItemScores(tmp_path, records).of(records[0].key, "s") is None
    assert math.isnan(board_of(records, tmp_path).tables[0].pairs[0].se_item)


def test_aggregates_over_tasks_and_settings():
    records = []
    for model, lift in (("a", 0.1), ("b", 0.3)):
        for arm, score in (("random", 0.2), ("mads", 0.2 + lift), ("other", 0.1)):
            records += [record(arm, seed, score + 0.01 * seed * (arm == "mads"), model=model) for seed in (0, 1)]
    found = board(*records)
    mads = next(one for one in found.aggregates if one.selector == "mads")
    assert (mads.tables, mads.clusters, mads.average_rank) == (2, 2, 1.0)
    assert mads.mean_difference == pytest.approx(0.205)
    assert mads.high - mads.mean_difference == pytest.approx(12.706 * 0.1, rel=1e-3)  # t with one df, SE 0.1
    assert found.critical.ranks == {"mads": 1.0, "random": 2.0, "other": 3.0}
    assert found.critical.distance == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 2)), rel=1e-3)  # Demsar, table 5
    assert found.critical.groups == (("mads", "random", "other"),)


def test_arms_with_unequal_tokens_are_warned_of():
    assert not any(
        "tokens" in line for line in board(record("random", 0, 0.1), record("a", 0, 0.1, tokens=109)).warnings
    )
    assert any(
        "a 111, random 100" in line
        for line in board(record("random", 0, 0.1), record("a", 0, 0.1, tokens=111)).warnings
    )


def trained(one: Record, **facts) -> Record:
    one.training = TrainingFacts(context=128, limit="model.max_length", selected=10, **facts)
    return one


@pytest.mark.parametrize("count", ["response_tokens_trained", "response_tokens_kept"])
def test_unequal_tokens_are_those_trained_on_not_those_selected(count):
    """By the trainer's count of the whole training, else by that of one epoch, which is measured for every trainer."""
    alike = [trained(record(arm, 0, 0.1, tokens=n), **{count: 600}) for arm, n in (("random", 100), ("a", 3553))]
    assert not any("tokens" in line for line in board(*alike).warnings)
    differing = [trained(record(arm, 0, 0.1), **{count: n}) for arm, n in (("random", 100), ("a", 111))]
    assert any("a 111, random 100" in line for line in board(*differing).warnings)
    mixed = [trained(record("random", 0, 0.1), **{count: 600}), record("a", 0, 0.1, tokens=111)]
    assert any("a 111, random 100" in line for line in board(*mixed).warnings)  # compared by what both know


def test_cut_and_dropped_examples_are_shown_and_warned_of(capsys):
    whole = dict(trained=10, cut=0, dropped=0, response_tokens=200, response_tokens_kept=200)
    fitting = trained(record("random", 0, 0.1), **whole, response_tokens_trained=600)
    lost = {**whole, "trained": 6, "cut": 8, "dropped": 4, "response_tokens_kept": 50}
    cut = trained(record("longest", 0, 0.1), **lost, response_tokens_trained=150)
    found = show_records([fitting, cut, record("base", None, 0.0)])
    rows = {row.arm: row for row in found.tables[0].rows}
    assert (rows["longest"].trained, rows["longest"].cut, rows["longest"].dropped) == (6, 8, 4)
    assert rows["longest"].tokens_trained == 150 and rows["longest"].tokens_lost == 0.75
    (warning,) = [line for line in found.warnings if "context" in line]
    assert "of 128 tokens" in warning and "random" not in warning
    assert "longest has 8 of 10 examples cut and 4 dropped, 75.0 % of its response tokens" in warning
    assert "dropped" in capsys.readouterr().out

    few = {**whole, "cut": 0, "response_tokens_kept": 191}  # 4.5 %
    quiet = show_records([fitting, trained(record("longest", 0, 0.1), **few, response_tokens_trained=573)])
    assert not any("context" in line for line in quiet.warnings)
    assert "dropped" not in capsys.readouterr().out  # a column that says nothing


def test_items_that_are_cut_or_left_out_are_shown_and_warned_of(capsys):
    def scored(arm: str, **counts: int) -> Record:
        one = record(arm, 0, 0.1)
        one.scores = [replace(one.scores[0], **counts), ScoreRow("s", "u", "acc", 0.2, items=5, cut=1)]
        return one

    found = show_records([scored("random", left_out=198, cut=2), scored("a", left_out=198, cut=2)])
    row = found.tables[0].rows[0]
    assert (row.items_left_out, row.items_cut) == (198, 3)
    (warning,) = [line for line in found.warnings if "items" in line]
    assert "198 test items are left out of the score; 3 test items are cut" in warning
    assert "items left out" in capsys.readouterr().out
    (warning,) = [line for line in board(scored("random"), scored("a", left_out=7)).warnings if "items" in line]
    assert "up to 7 test items are left out" in warning
    plain = board(record("random", 0, 0.1), record("a", 0, 0.1))
    assert not any("items" in line for line in plain.warnings)


def test_records_made_before_there_were_facts_of_training_tell_what_was_logged():
    logged = {"truncated_examples": 8.0, "dropped_examples": 4.0, "response_tokens_seen": 150.0}
    old = record("longest", 0, 0.1).plain()
    del old["training"]
    read = Record.read({**old, "logged": {f"training/{name}": value for name, value in logged.items()}})
    assert (read.training.cut, read.training.dropped, read.training.response_tokens_trained) == (8, 4, 150)
    assert Record.read(read.plain()).training == read.training
    (row,) = board(read).tables[0].rows
    assert row.cut == 8 and row.tokens_trained == 150 and math.isnan(row.tokens_lost)
    assert any("8 of 10 examples cut" in line for line in board(read).warnings)


def test_leaks_are_shown_if_they_were_checked(capsys):
    checked, unchecked = record("random", 0, 0.1), record("mads", 0, 0.1)
    checked.selection = replace(checked.selection, leaked=3)
    found = {row.arm: row for row in show_records([checked, unchecked]).tables[0].rows}
    assert (found["random"].leaked, found["mads"].leaked) == (3, None)
    assert "leaked" in capsys.readouterr().out


def test_text_from_data_is_never_markup(capsys, caplog, tmp_path):
    shown = show_records([record("[red]x[/red]", 0, 0.5), record("<b>|`", 0, 0.4)], csv=tmp_path / "board.csv")
    out = capsys.readouterr()
    assert "[red]x[/red]" in out.out and "no arm `random`" in caplog.text
    assert r"| \<b\>\|\` |" in board_markdown(shown)
    assert list(pd.read_csv(tmp_path / "board.csv")["selector"]) == ["[red]x[/red]", "<b>|`"]
    assert {path.name for path in tmp_path.iterdir()} == {"board.csv", "board.parquet", "board.md", "board.html"}


def test_published_figures_stand_beside_the_measured(capsys):
    item = record("random", 0, 0.5)
    item.config["published"] = {"source": "a paper", "rows": [{"selector": "mads", "score": 37.7}]}
    show_records([item])
    out = capsys.readouterr().out
    assert "published, not measured here: a paper" in out and "37.7" in out


def test_standard_output_holds_nothing_but_the_json(capsys):
    show_records([record("random", 0, 0.5), record("mads", 0, 0.6)], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["tables"][0]["rows"][0]["vs_baseline"]["p"] is None
    assert found["counts"]["verdicts"] == {"better": 0, "worse": 0, "tied": 0, "untested": 1}


MAP = "selector=method,budget=num_samples,seed=seed,model=model,task=dataset,score=true_metric"


@pytest.mark.parametrize(("correction", "better", "worse"), [("none", 304, 120), ("holm", 3, 1), ("bh", 194, 51)])
def test_published_scores_give_the_published_counts(shared_data, tmp_path, capsys, correction, better, worse):
    file = shared_data / "published" / "tis_tulu-v2_scores.csv"
    options = ["--baseline", "Random", "--test", "welch", "--correction", correction, "--csv", str(tmp_path / "x.csv")]
    assert command(["leaderboard", "--scores", str(file), "--map", MAP, *options, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["tables"], counts["cells"]) == (125, 875)
    assert counts["verdicts"] == {"better": better, "worse": worse, "tied": 875 - better - worse, "untested": 0}
    assert (counts["best_vs_runner_up"]["uncorrected"], counts["best_vs_runner_up"]["of"]) == (13, 125)
    assert command(["leaderboard", "--scores", str(file), "--map", MAP, *options]) == 0
    assert f"{better} better, {worse} worse" in capsys.readouterr().out


def test_task_rows_are_the_headline_tasks():
    one = record("random", 0, 0.5)
    one.scores.append(replace(one.scores[0], task="u", value=0.7))
    one.scores.append(replace(one.scores[0], task="v", headline=False))
    assert list(task_table([one])["task"]) == ["t", "u"]
    assert list(runs_table([one])["score"]) == [pytest.approx(0.6)]


def write(path, text):
    path.write_text(text)
    return path


PLAIN = "method,n,score\nRandom,500,1.0\nmine,500,2.0\n"


@pytest.mark.parametrize(
    ("text", "mapping", "said"),
    [
        (PLAIN, "selektor=method", "Did you mean 'selector'"),
        (PLAIN, "selector=methode,score=score", "Did you mean 'method'"),
        (PLAIN, "selector", "is not axis=column"),
        (PLAIN, "selector=method,selector=n", "given twice"),
        (PLAIN, "score=score", "no column for the axis 'selector'"),
        (PLAIN.replace("2.0", "high"), "selector=method,score=score", "'high' in line 3"),
        (PLAIN + "mine,1000,3.0\n", "selector=method,score=score", "lines 3 and 4"),
        ("method,score\n", "selector=method,score=score", "has no rows"),
    ],
)
def test_mistakes_in_a_file_or_its_map_are_named(tmp_path, text, mapping, said):
    with pytest.raises(UserError) as error:
        read_scores(write(tmp_path / "scores.csv", text), parse_map(mapping))
    assert said in str(error.value)


def test_a_file_needs_the_baseline(tmp_path, capsys):
    file = write(tmp_path / "scores.csv", PLAIN)
    assert command(["leaderboard", "--scores", str(file), "--map", "selector=method"]) == 2
    assert "Did you mean 'Random'" in " ".join(capsys.readouterr().err.split())


def test_missing_axes_and_scores_of_a_file(tmp_path, caplog):
    text = "method,score,seed\nRandom,1,a\nRandom,,b\nmine,2,a\nbase,0,\n"
    table = read_scores(write(tmp_path / "scores.csv", text), parse_map("selector=method,seed=seed"), False)
    assert list(table["seed"]) == [0, 0, -1] and not table["higher_is_better"].any()
    assert set(table["metric"]) == {"score"} and set(table["model"]) == {""}
    assert "1 of 4 rows have no score" in caplog.text
    table.to_parquet(tmp_path / "scores.parquet")
    again = read_scores(tmp_path / "scores.parquet", parse_map("selector=selector,score=score,seed=seed"))
    assert list(again["score"]) == [1, 2, 0]


def test_an_arm_whose_fine_tuning_changed_nothing_is_told_of():
    idle = record("mads", 0, 0.5)
    idle.unchanged = True
    tuned = record("random", 0, 0.5)
    tuned.unchanged = False
    said = " ".join(board(idle, tuned, record("longest", 0, 0.4)).warnings)
    assert "changed nothing in mads:" in said
    assert "changed nothing" not in " ".join(board(tuned, record("longest", 0, 0.4)).warnings)
