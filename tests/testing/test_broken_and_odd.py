"""Every broken plugin is caught by the check meant for it, the other checks say nothing of their own, and no odd but right
plugin is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from selbench.plugins import discover
from selbench.testing import Subject
from selbench.testing.outcomes import checks_of, run_checks

HERE = Path(__file__).parent

# kind -> plugin -> the check that is meant for it, and others that see the same fault.
BROKEN: dict[str, dict[str, str]] = {
    "selector": {
        "asking": "neither_labels_nor_test_items_are_read",
        "bare_assertion": "a_selection_is_made",
        "changing_option": "options_round_trip",
        "clock": "same_seed_same_ids",
        "double": "process_is_left_as_it_was",
        "exits": "a_selection_is_made",
        "fails_on_long": "a_selection_is_made",
        "fails_on_one": "edge_pools_work",
        "finding": "neither_labels_nor_test_items_are_read",
        "folder_maker": "nothing_is_written_outside_scratch",
        "foreign": "exactly_the_budget",
        "generator_ids": "a_selection_is_made",
        # Positions drawn under one global seed are the same whatever stands there.
        "global_seed": "global_randomness_is_left_alone order_of_the_pool_does_not_matter",
        "hashing": "two_processes_agree",
        "hidden_scorer": "only_what_is_declared_is_used order_of_the_pool_does_not_matter",
        "hidden_seed": "only_what_is_declared_is_used order_of_the_pool_does_not_matter",
        "identical_once": "edge_pools_work",
        "ignores_tokens": "exactly_the_budget",
        "imports_labels": "neither_labels_nor_test_items_are_read",
        "moving": "process_is_left_as_it_was",
        "mutating": "examples_are_left_alone",
        "mutating_target": "examples_are_left_alone",
        "not_nested": "smaller_budgets_are_prefixes",
        "numbers_its_draws": "what_is_drawn_once_is_named",
        "odd_option": "options_round_trip",
        "positional": "order_of_the_pool_does_not_matter",
        "positional_by_chance": "order_of_the_pool_does_not_matter",
        "python_seed": "global_randomness_is_left_alone order_of_the_pool_does_not_matter",
        "reading": "neither_labels_nor_test_items_are_read",
        "returns_none": "a_selection_is_made",
        "scores_positions": "order_of_the_pool_does_not_matter",
        "scribbler": "nothing_is_written_outside_scratch",
        "short": "exactly_the_budget",
        "stochastic_first": "order_of_the_pool_does_not_matter",
        "too_many_scores": "exactly_the_budget",
        "twice": "exactly_the_budget",
        "two_lines": "options_round_trip",
        "undeclared_scorer": "only_what_is_declared_is_used",
        "undeclared_seed": "only_what_is_declared_is_used",
        "undeclared_target": "only_what_is_declared_is_used",
        "understated": "needs_names_the_features",
        "understated_for_seeds": "needs_names_the_features",
    },
    "suite": {
        "asserting_suite": "the_base_model_is_scored",
        "dict_suite": "the_base_model_is_scored",
        "drops_failures": "every_model_gets_the_same_items",
        "empty_texts": "texts_are_of_the_items",
        "global_suite": "global_randomness_is_left_alone",
        "hash_suite": "two_processes_agree",
        "leaves_results": "nothing_is_written_outside_scratch",
        "nan_suite": "the_base_model_is_scored",
        "no_headline": "the_base_model_is_scored",
        "not_the_mean": "headlines_are_means",
        "numbered": "same_seed_same_scores",
        "other_texts": "texts_are_of_the_items",
        "random_suite": "same_seed_same_scores",
        "renames_the_model": "the_model_is_left_alone",
        "seeded_items": "same_items_for_every_seed",
        "spoils_the_model": "the_model_is_left_alone",
    },
    "pool": {
        "asserting_pool": "a_pool_is_loaded",
        "bare_pool": "a_pool_is_loaded",
        "cache_beside": "nothing_is_written_outside_scratch",
        "changes_folder": "process_is_left_as_it_was",
        "deaf_pool": "a_missing_file_is_explained",
        "empty_pool": "a_pool_is_loaded",
        "foreign_labels": "hidden_labels_are_hidden",
        "global_pool": "global_randomness_is_left_alone",
        "label_in_category": "hidden_labels_are_hidden",
        "label_in_id": "hidden_labels_are_hidden",
        "list_history": "examples_are_plain_text",
        "no_responses": "examples_are_plain_text",
        "none_input": "examples_are_plain_text",
        "number_ids": "examples_are_plain_text",
        "ragged_labels": "hidden_labels_are_hidden",
        "same_ids": "a_pool_is_loaded",
        "set_pool": "two_processes_agree",
        "shuffled_pool": "loads_the_same_twice",
        "surrogate": "examples_are_plain_text",
        "traceback_pool": "a_missing_file_is_explained",
    },
    "trainer": {
        "ascends": "the_loss_falls",
        "asserts": "a_model_is_made",
        "by_clock": "same_seed_same_model",
        "elsewhere": "a_model_is_made nothing_is_written_outside_scratch",
        "explodes": "the_loss_falls",
        "in_a_set": "two_processes_agree",
        "linked": "a_model_is_made",
        "logs_nan": "what_it_logs_is_true",
        "miscounts": "what_it_logs_is_true",
        "mutating_trainer": "examples_are_left_alone",
        "no_gradients": "process_is_left_as_it_was",
        "no_history": "odd_examples_work",
        "no_tokenizer": "a_model_is_made",
        "reads_all": "the_context_is_kept",
        "removes_outside": "nothing_is_written_outside_scratch",
        "resumes_wrong": "an_interrupted_training_goes_on",
        "returns_path": "a_model_is_made",
        "saves_base": "the_model_is_changed",
        "shuffles_globally": "global_randomness_is_left_alone",
    },
}
# Training a model a dozen times for each of them takes minutes; two show that the other checks keep quiet.
QUICK = {"trainer": ("asserts", "returns_path")}
ALL = [
    pytest.param(
        kind, name, marks=[pytest.mark.slow] if name not in QUICK.get(kind, (name,)) else [], id=f"{kind} {name}"
    )
    for kind, plugins in BROKEN.items()
    for name in plugins
]


@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    """A copy of the broken plugins, some of which write beside themselves."""
    return _copied("broken", tmp_path_factory)


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    return _copied("odd", tmp_path_factory)


def _copied(name, factory):
    folder = factory.mktemp(name)
    for file in (HERE / name).glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    return str(folder)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_broken_plugin_fails_the_check_meant_for_it_and_no_other(kind, name, broken):
    outcomes = list(run_checks(Subject(name, kind=kind, plugin_path=[broken])))
    failed = {outcome.check: dict(outcome.lines) for outcome in outcomes if outcome.verdict == "failed"}
    assert set(failed) == set(BROKEN[kind][name].split()), failed
    meant = failed[BROKEN[kind][name].split()[0]]
    assert meant["expected"] and meant["found"]
    assert broken in meant["where"] and ":" in meant["where"], "it names a line of the plugin"


@pytest.mark.parametrize("name", [name for name in BROKEN["trainer"] if name not in QUICK["trainer"]])
def test_a_broken_trainer_fails_the_check_meant_for_it(name, broken, tmp_path):
    meant = BROKEN["trainer"][name].split()[0]
    check = next(check for check in checks_of("trainer") if check.__name__ == meant)
    with pytest.raises(AssertionError, match=r"expected .*; found .*; where .*:"):
        check(Subject(name, kind="trainer", plugin_path=[broken]), tmp_path)


def test_every_broken_plugin_is_in_the_table_and_they_are_many(broken):
    found = [plugin for plugin in discover([broken]).plugins.values() if plugin.origin.startswith(broken)]
    assert {(plugin.kind, plugin.name) for plugin in found} == {
        (kind, name) for kind in BROKEN for name in BROKEN[kind]
    }
    assert len(found) >= 40


def test_every_check_catches_a_broken_plugin():
    caught = {
        (kind, check) for kind, plugins in BROKEN.items() for meant in plugins.values() for check in meant.split()
    }
    general = {"options_round_trip", "process_is_left_as_it_was", "neither_labels_nor_test_items_are_read"}
    for kind in BROKEN:
        for check in checks_of(kind):
            of_any_kind = check.__name__ in general and any(name == check.__name__ for _, name in caught)
            assert (kind, check.__name__) in caught or of_any_kind, f"no broken {kind} for {check.__name__}"


ODD = [
    (plugin.kind, plugin.name) for plugin in discover([str(HERE / "odd")]).plugins.values() if "/odd/" in plugin.origin
]


@pytest.mark.parametrize(("kind", "name"), ODD, ids=lambda value: value)
def test_an_odd_but_right_plugin_is_not_refused(kind, name, odd):
    outcomes = list(run_checks(Subject(name, kind=kind, plugin_path=[odd])))
    assert {outcome.check: outcome.lines for outcome in outcomes if outcome.verdict == "failed"} == {}
    skipped = {outcome.check: dict(outcome.lines)["reason"] for outcome in outcomes if outcome.verdict == "skipped"}
    assert all(len(reason) > 10 for reason in skipped.values())
    if name not in ("no_pool_will_do", "conversations_only"):
        assert len(skipped) < len(outcomes) / 2, skipped


def test_they_are_more_than_a_dozen_of_all_kinds():
    assert len(ODD) > 12 and {kind for kind, _ in ODD} == set(BROKEN)
