"""Any space with any rule: pairs, options, facts and names follow from the parts; the named methods are their rules."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from helpers.golden_pool import golden_pool
from selbench_plugins.selectors.facility_location import FacilityLocation
from selbench_plugins.selectors.kcenter import KCenter
from selbench_plugins.selectors.kmeans_balanced import KMeansBalanced
from selbench_plugins.selectors.parts import Parts
from selbench_plugins.selectors.qdit import Qdit
from selbench_plugins.selectors.repr_filter import ReprFilter

from selbench.api import Budget, Context, Pool
from selbench.cli.plugins import main as plugins_verb
from selbench.declare import option_help
from selbench.errors import PluginError, UserError
from selbench.parts.part import Rule, Space, made_part, part_class, part_names, rule, space
from selbench.run.select import check_selection
from selbench.store.keys import digest, plugin_identity

GIVES = {name: part_class("space", name).gives for name in part_names("space")}
TAKES = {name: part_class("rule", name).takes for name in part_names("rule")}


@pytest.mark.parametrize(("space", "rule"), [*itertools.product(GIVES, TAKES)])
def test_a_pair_has_sense_if_the_space_gives_what_the_rule_takes(space, rule):
    if TAKES[rule] in GIVES[space]:
        assert Parts(space=space, rule=rule).label().startswith(f"parts(space={space},rule={rule}")
    else:
        with pytest.raises(
            UserError, match=f"rule '{rule}' chooses by {TAKES[rule]}, and space '{space}' gives"
        ) as found:
            Parts(space=space, rule=rule)
        valid = str(found.value).partition("Valid: ")[2]
        assert all((name in valid) == (TAKES[rule] in GIVES[name]) for name in GIVES if name != space)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"space": "tf_idf"}, "unknown selector.space 'tf_idf'. Did you mean 'tfidf'?"),
        ({"rule": "kcenter"}, "unknown selector.rule 'kcenter'. Did you mean 'k_center'?"),
        ({"space": {"name": "tfidf", "dimensions": 3}}, "unknown option of space 'tfidf': 'dimensions'"),
        ({"space": {"dimension": 3}}, "selector.space is a space: its name, or with options"),
        ({"space": ["tfidf", "encoder"]}, "selector.space is a space: its name"),
        ({"space": None}, "selector.space is a space: its name"),
        (
            {"space": {"name": "tfidf", "dimension": "many"}},
            "'dimension' of space 'tfidf': 'many' is not a whole number",
        ),
        ({"space": {"name": "tfidf", "dimension": 0}}, "dimension=0 is no dimension"),
        ({"space": {"name": "tfidf", "text": "answer"}}, "unknown value 'answer'. Valid: instruction, prompt"),
        ({"rule": {"name": "threshold_walk", "threshold": 3}}, "threshold=3.0 is no cosine"),
        ({"rule": {"name": "threshold_walk", "order": "scores"}}, "order=scores needs the file of scores"),
        ({"rule": {"name": "cluster_balanced", "clusters": True}}, "'True' is not a whole number"),
        ({"rule": {"name": "by_score"}}, "rule 'by_score' chooses by scores"),
    ],
)
def test_mistakes_are_one_sentence(options, said):
    with pytest.raises(UserError) as found:
        Parts(**options)
    assert said in str(found.value)


def test_named_methods_are_their_rules():
    pool = golden_pool()
    pairs = [
        (FacilityLocation(space="tfidf"), {"name": "facility_location", "similarity": "euclidean"}),
        (
            ReprFilter(space="tfidf", order="longest", threshold=0.4),
            {"name": "threshold_walk", "order": "longest", "threshold": 0.4},
        ),
        (KMeansBalanced(space="tfidf", clusters=3), {"name": "cluster_balanced", "clusters": 3}),
    ]
    for named, same in pairs:
        budget = Budget.of(pool, 9)
        found = [method.select(pool, budget, Context(pool)).ids for method in (named, Parts(rule=same))]
        assert found[0] == found[1]


def test_k_center_of_parts_is_kcenter():
    pool = golden_pool()
    parts = Parts(space={"name": "tfidf", "text": "instruction"}, rule={"name": "k_center", "first": "0"})
    found = parts.select(pool, Budget.of(pool, 8), Context(pool))
    assert found.ids == KCenter(encoder="tfidf", first="0").select(pool, Budget.of(pool, 8), Context(pool)).ids


def test_facts_follow_from_the_parts():
    walk = ReprFilter(space="tfidf")
    assert (walk.stochastic, walk.nested, walk.may_stop_short, walk.uses_scorer) == (True, True, True, False)
    by_length = ReprFilter(space="hidden", order="longest")
    assert (by_length.stochastic, by_length.uses_scorer) == (False, True)
    sae = Parts(space={"name": "sae_tags", "sae_seed": 3}, rule="coverage")
    assert (sae.stochastic, Parts(space="sae_tags", rule="coverage").stochastic) == (False, True)
    assert "autoencoder" in sae.drawn_once(golden_pool(), {})
    assert [type(spec).__name__ for spec in sae.needs(0)] == ["SaeTags"]
    duplicates = Parts(rule="semantic_duplicates"), Parts(rule={"name": "semantic_duplicates", "eps": 0.1})
    assert [one.may_stop_short for one in duplicates] == [False, True]


@pytest.mark.parametrize("name", ["sae_tags", "facility_location", "tfidf"])
def test_the_help_of_a_part_is_shown(name, capsys):
    assert plugins_verb([name]) == 0
    said = capsys.readouterr().out
    kind = "rule" if name in TAKES else "space"
    assert f"{kind} {name}" in said
    part = part_class(kind, name)
    assert all(f"{item.name} = " in said for item in dataclasses.fields(part))
    assert all(option_help(part).values())


@pytest.mark.parametrize(("kind", "name"), [("space", name) for name in GIVES] + [("rule", name) for name in TAKES])
def test_every_option_of_a_part_is_explained(kind, name):
    cls = part_class(kind, name)
    assert cls.__doc__
    assert all(option_help(cls).values())


def test_equal_options_are_one_arm_however_they_are_written():
    ways = [Parts(), Parts(space={"name": "tfidf", "dimension": 256}), Parts(space=made_part("space", "tfidf"))]
    assert len({way.label() for way in ways}) == len({digest(plugin_identity(way)) for way in ways}) == 1
    other = Parts(space={"name": "tfidf", "dimension": 64})
    assert other.label() == "parts(space=tfidf(dimension=64),rule=k_center)"
    assert digest(plugin_identity(other)) != digest(plugin_identity(ways[0]))
    assert FacilityLocation().label() == "facility_location"
    assert FacilityLocation(space="tfidf", neighbours=5).label() == "facility_location(neighbours=5,space=tfidf)"


@pytest.mark.parametrize(
    "rule", [name for name, view in TAKES.items() if view == "vectors" and name != "quality_diversity"]
)
@pytest.mark.parametrize("case", ["equal", "zero", "one", "whole", "tokens"])
def test_odd_pools(rule, case, tmp_path):
    """All vectors equal, all zero, one example, the whole pool, a budget in tokens."""
    pool = golden_pool() if case != "one" else Pool(list(golden_pool())[:1])
    values = {"equal": np.ones((24, 3)), "zero": np.zeros((24, 3))}.get(
        case, np.random.default_rng(0).random((len(pool), 3))
    )
    np.save(tmp_path / "v.npy", values.astype(np.float16))
    (tmp_path / "v.txt").write_text("\n".join(pool.ids))
    method = Parts(space={"name": "vectors_file", "path": str(tmp_path / "v.npy")}, rule=rule)
    tokens = [len(example.response.split()) for example in pool]
    amount = {"one": 1, "whole": 1.0, "tokens": 17}.get(case, 7)
    budget = Budget.of(pool, amount, "tokens" if case == "tokens" else "examples", tokens)
    check_selection(method.select(pool, budget, Context(pool)), method, pool, budget)


def test_qdit_goes_from_diversity_to_quality(tmp_path):
    pool = golden_pool()
    path = tmp_path / "quality.jsonl"
    path.write_text("\n".join(json.dumps({"id": id, "score": (5 * i) % 24}) for i, id in enumerate(pool.ids)))
    budget = Budget.of(pool, 6)

    def picked(alpha: float) -> tuple[str, ...]:
        return Qdit(space="tfidf", scores=str(path), alpha=alpha).select(pool, budget, Context(pool)).ids

    assert picked(0.0) == Parts(rule="facility_location").select(pool, budget, Context(pool)).ids
    best = sorted(range(24), key=lambda i: -((5 * i) % 24))[:6]
    assert picked(1.0) == tuple(pool.ids[i] for i in best)
    assert picked(0.5) not in (picked(0.0), picked(1.0))
    with pytest.raises(UserError, match=r"name a file of scores with selector\.scores=FILE"):
        Qdit(space="tfidf").check()
    path.write_text("\n".join(json.dumps({"id": id, "score": 3}) for id in pool.ids))
    assert picked(0.5) == picked(0.0)  # every quality equal


def test_a_part_of_somebodys_is_known_by_its_name():
    @space("lengths_only")
    class Lengths(Space):
        gives = ("scores",)
        per: int = 1

        def scores(self, pool, context):
            return np.array([len(example.response) // self.per for example in pool])

    pool = golden_pool()
    method = Parts(space={"name": "lengths_only", "per": 2}, rule="by_score")
    assert method.label() == "parts(space=lengths_only(per=2),rule=by_score)"
    assert len(method.select(pool, Budget.of(pool, 3), Context(pool)).ids) == 3
    with pytest.raises(PluginError, match="the rule 'k_center' is declared twice"):
        rule("k_center")(type("Mine", (Rule,), {"takes": "vectors", "__module__": __name__}))
