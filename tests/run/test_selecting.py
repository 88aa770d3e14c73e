"""What a run selects: alone, for commands that only select, and in a sweep, where one ranking serves all budgets."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from selbench.errors import PluginError, UserError
from selbench.run.carry_out import carry_out, open_store
from selbench.run.inputs import load_pool
from selbench.run.reach import budgets_by_ranking, budgets_of_ranking, ranking_group
from selbench.run.select import selection_alone
from selbench.store.outputs import Outputs


def test_a_selection_alone_comes_with_the_token_counts_of_the_pool(toy_run):
    run = toy_run("selector=longest", "budget=3")
    tokens, selected = selection_alone(run, open_store(run), "export")
    assert tokens.shape == (40,) and (np.diff(tokens) == 1).all()  # row i has i + 1 words
    assert selected.ids == ("0039", "0038", "0037") and selected.stages["selection"].endswith("-3")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["selector=base"], "selector 'base' selects nothing: there is nothing to inspect."),
        (["selector=shy"], "selector 'shy' does not apply here: it has stage fright"),
        # The longest response alone costs more than this budget.
        (
            ["selector=longest", "budget=5", "budget_unit=tokens"],
            "selector 'longest' has chosen nothing: there is nothing to inspect.",
        ),
    ],
)
def test_why_there_is_no_selection_is_one_sentence_that_names_the_purpose(toy_run, settings, said):
    run = toy_run(*settings)
    with pytest.raises(UserError) as error:
        selection_alone(run, open_store(run), "inspect")
    assert str(error.value) == said


def test_a_broken_contract_and_a_budget_beyond_the_pool_pass_through(toy_run):
    for settings, kind, said in (
        (["selector=twice"], PluginError, "duplicate ids"),
        (["selector=random", "budget=41"], UserError, "valid 1 to 40"),
    ):
        run = toy_run(*settings)
        with pytest.raises(kind, match=said):
            selection_alone(run, open_store(run), "export")


def _in_sweep(toy_run, reach, *settings):
    """A run of a sweep whose rankings are asked for these budgets."""
    run = toy_run(*settings, "sweep=s1")
    Outputs(run.output_dir).sweeps.open("s1").start("selbench -m", "default", [{}], reach)
    return run


def _largest(run):
    found = budgets_of_ranking(run, load_pool(run.pool).pool, np.arange(1, 41))
    assert [budget.limit for budget in found] == sorted(budget.limit for budget in found)
    return found[-1] if found else None


def test_the_largest_budget_is_the_one_that_allows_most_of_the_pool(toy_run):
    group = ranking_group(toy_run("selector=longest"))
    run = _in_sweep(toy_run, {group: [4, 0.5, 10], "another": [30]}, "selector=longest", "budget=4")
    assert _largest(run).limit == 20
    tokens = "budget_unit=tokens"
    other = ranking_group(toy_run("selector=longest", tokens))
    assert other != group
    run = _in_sweep(toy_run, {other: [100, 0.5]}, "selector=longest", tokens)
    assert _largest(run).limit == 820 * 0.5


def test_a_budget_that_does_not_fit_is_passed_over(toy_run):
    group = ranking_group(toy_run("selector=longest"))
    assert _largest(_in_sweep(toy_run, {group: [4, 41]}, "selector=longest", "budget=4")).limit == 4
    assert _largest(_in_sweep(toy_run, {group: [41]}, "selector=longest", "budget=41")) is None


def test_without_a_sweep_or_a_budget_nothing_further_is_asked_for(toy_run):
    assert _largest(toy_run("selector=longest")) is None
    for name in ("base", "full"):
        assert _largest(_in_sweep(toy_run, {}, f"selector={name}")) is None
    assert _largest(_in_sweep(toy_run, {"another": [30]}, "selector=longest")) is None


def test_one_ranking_serves_the_runs_that_differ_in_budget_only(toy_run):
    runs = [
        toy_run(f"selector={name}", f"seed={seed}", f"budget={budget}")
        for name in ("random", "longest", "full", "base")
        for seed in (0, 1)
        for budget in (4, 0.2)
    ]
    budgets = budgets_by_ranking(runs)
    # random depends on the seed, longest does not; full and base take no budget.
    assert len(budgets) == 3 and all(amounts == [4, 0.2] for amounts in budgets.values())


REPEATED = [{"instruction": f"ask {i // 4}", "output": "say"} for i in range(40)]  # ten texts, four times each


def _repeating_run(toy_run, tmp_path, *settings):
    path = tmp_path / "repeated.jsonl"
    path.write_text("\n".join(map(json.dumps, REPEATED)))
    return toy_run(f"pool.path={path}", *settings)


def test_a_record_says_how_many_exact_duplicates_were_selected_and_how_many_by_chance(toy_run, tmp_path):
    """The first eight rows hold two texts; the longest-first selector takes them in order, as all are equally long."""
    said: list[str] = []
    record, _ = carry_out(_repeating_run(toy_run, tmp_path, "selector=longest", "budget=8"), said.append)
    assert record.selection.exact_duplicates == 6
    by_hand = 8 - 10 * (1 - math.comb(36, 8) / math.comb(40, 8))
    assert record.selection.exact_duplicates_by_chance == pytest.approx(by_hand)
    warning = "6 of 8 selected examples repeat another selected one word for word (exact duplicates)"
    chance = f"; of a random selection of that size, {by_hand:.1f} would. pool.drop_duplicates=exact"
    assert any(line.startswith(f"warning: {warning}{chance}") for line in said)


def test_a_selection_with_no_more_repeats_than_chance_is_not_warned_of(toy_run, tmp_path):
    said: list[str] = []
    record, _ = carry_out(_repeating_run(toy_run, tmp_path, "selector=full"), said.append)
    assert (record.selection.exact_duplicates, record.selection.exact_duplicates_by_chance) == (30, 30)
    assert not [line for line in said if "word for word" in line]
