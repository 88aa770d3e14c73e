"""The trainers, suites and pools that ship keep their contracts; selectors are in tests/plugins/selectors."""

from __future__ import annotations

import pytest

from selbench.plugins import discover
from selbench.testing import Subject
from selbench.testing.outcomes import run_checks

OURS = [(plugin.kind, plugin.name) for plugin in discover().plugins.values() if plugin.kind != "selector"]


# A program that is started a dozen times, with PyTorch and transformers.
SLOW = {"command": [pytest.mark.slow, pytest.mark.long]}


@pytest.mark.parametrize(
    ("kind", "name"), [pytest.param(*one, marks=SLOW.get(one[1], ()), id="-".join(one)) for one in OURS]
)
def test_conformance(kind, name):
    outcomes = list(run_checks(Subject(name, kind=kind)))
    assert {outcome.check: outcome.lines for outcome in outcomes if outcome.verdict == "failed"} == {}
    skipped = {outcome.check for outcome in outcomes if outcome.verdict == "skipped"}
    apart = {
        # The passes of an external program are made in a process of its own.
        "command": {"the_context_is_kept"},
        # There is no model, and its scores are no means over items.
        "planted_truth": {
            "headlines_are_means",
            "same_items_for_every_seed",
            "every_model_gets_the_same_items",
            "texts_are_of_the_items",
            "the_model_is_left_alone",
        },
    }.get(name, set())
    assert name == "hub" or skipped <= {"hidden_labels_are_hidden", "a_missing_file_is_explained"} | apart


@pytest.mark.slow
def test_conformance_of_adapters():
    outcomes = list(run_checks(Subject("trl", {"lora_rank": 4, "learning_rate": 1e-3}, kind="trainer")))
    assert {outcome.check: outcome.lines for outcome in outcomes if outcome.verdict == "failed"} == {}
