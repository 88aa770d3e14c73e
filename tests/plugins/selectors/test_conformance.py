"""Every selector that ships keeps the contract, with its defaults and with other options."""

from __future__ import annotations

import pytest

from selbench.plugins import discover
from selbench.testing import Subject
from selbench.testing.outcomes import run_checks

VARIANTS = {
    "facility location of neighbours": ("facility_location", {"space": "tfidf", "neighbours": 5}),
    "repr filter by length": ("repr_filter", {"space": "tfidf", "order": "longest", "threshold": 0.3}),
    "semdedup of an eps": ("semdedup", {"space": "tfidf", "eps": 0.6}),
    "parts, tags as vectors": ("parts", {"space": "activation_tags", "rule": "facility_location"}),
    "parts, tags in turns": ("parts", {"space": "activation_tags", "rule": "round_robin"}),
    "parts, the middle": ("parts", {"space": "activation_tags", "rule": {"name": "by_score", "take": "middle"}}),
    "kcenter euclidean": ("kcenter", {"encoder": "tfidf", "metric": "euclidean", "first": "medoid"}),
    "mads rounds": ("mads", {"objective": "set_cover", "weights": "idf", "layers": "all"}),
    "perplexity middle": ("perplexity", {"which": "middle", "over": "response"}),
    "alpagasus top": ("alpagasus", {"rule": "top"}),
    "random balanced": ("random", {"balanced": "category"}),
    "random of a length": ("random", {"match": "length", "quantile": 0.8}),
    "random like longest": ("random", {"match": "length", "like": "longest"}),
    "random like kcenter": (
        "random",
        {"match": "length", "like": {"name": "kcenter", "encoder": "tfidf", "first": "medoid"}},
    ),
}
VARIANTS |= {
    "chain of three": (
        "chain",
        {
            "steps": [
                {"mix": {"of": ["random", {"longest": {"share": 0.5}}], "keep": 0.6}},
                {"longest": {"keep": 20}},
                {"kcenter": {"encoder": "tfidf"}},
            ]
        },
    ),
    "stratified in equal parts": ("stratified", {"of": {"chain": {"steps": ["random"]}}, "quotas": "equal"}),
}
SUBJECTS = {plugin.name: (plugin.name, {}) for plugin in discover().of_kind("selector")} | VARIANTS


@pytest.mark.parametrize("subject", SUBJECTS)
def test_conformance(subject):
    name, options = SUBJECTS[subject]
    outcomes = list(run_checks(Subject(name, options)))
    assert {outcome.check: outcome.lines for outcome in outcomes if outcome.verdict == "failed"} == {}
    # `given` selects what a file names, and says so.
    assert name == "given" or {outcome.check for outcome in outcomes if outcome.verdict == "skipped"} <= {
        "needs_names_the_features",
        "smaller_budgets_are_prefixes",
    }
