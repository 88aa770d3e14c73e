"""Every configuration that ships composes into plain objects, alone and as part of its experiment."""

from __future__ import annotations

import pytest

from selbench.config.grids import expand
from selbench.config.runs import compose_run, composed_run
from selbench.config.schemas import register
from selbench.plugins import discover
from selbench.presets import presets


@pytest.fixture(scope="module")
def registry():
    found = discover()
    register(found)
    return found


def _choices(group: str) -> list[str]:
    return [name for name in presets(group) if not name.startswith("schema")]


@pytest.mark.parametrize("name", _choices("pool"))
def test_pools(registry, name):
    assert compose_run([f"pool={name}"], registry).pool.name


@pytest.mark.parametrize("name", _choices("model"))
def test_models_and_scorers(registry, name):
    extra = ["model.path=/m", "scorer.path=/s"] if name == "local" else []
    if name == "endpoint":
        extra = [f"{one}.{word}" for one in ("model", "scorer") for word in ("url=http://h:1/v1/", f"name={one[0]}")]
    run = compose_run([f"model={name}", f"scorer={name}", *extra], registry)
    assert (run.model.path or run.model.url == "http://h:1/v1") and (run.model.name, run.scorer.name) == (
        ("m", "s") if extra else (run.model.name,) * 2
    )


@pytest.mark.parametrize("name", _choices("trainer"))
def test_trainers(registry, name):
    external = name in ("llama_factory", "axolotl", "torchrun")
    assert compose_run([f"trainer={name}"], registry).trainer.plugin_name == ("command" if external else "trl")


@pytest.mark.parametrize("name", _choices("suite"))
def test_suites(registry, name):
    assert compose_run([f"suite=[{name}]"], registry).suites


@pytest.mark.parametrize("name", _choices("target"))
def test_targets(registry, name):
    (target,) = compose_run([f"target=[{name}]", f"target.{name}.name=x"], registry).targets.values()
    assert target.name == "x"


@pytest.mark.parametrize("name", _choices("experiment/nait_variant"))
def test_nait_variants(registry, name):
    run = compose_run(["selector=nait", "target=[planted]", f"+experiment/nait_variant={name}"], registry)
    assert run.selector.plugin_name == "nait"


def test_a_planted_target_of_some_skills(registry):
    run = compose_run(["selector=nait", "target=[planted]", "target.planted.skills=[colour,add]"], registry)
    assert run.targets["planted"].skills == ["colour", "add"]


@pytest.mark.parametrize("name", _choices("experiment/mads_variant"))
def test_mads_variants(registry, name):
    assert compose_run(["selector=mads", f"+experiment/mads_variant={name}"], registry).selector.plugin_name == "mads"


def test_selectors_without_presets(registry):
    names = [plugin.name for plugin in registry.of_kind("selector")]
    assert len(names) >= 9
    for name in names:
        assert compose_run([f"selector={name}"], registry).selector.plugin_name == name


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("demo", 24),
        ("alpaca_stories", 10),
        ("mads_paper", 72),
        ("nait_paper", 15),
        ("sae_paper", 54),
        ("mads_sensitivity", 105),
        ("nait_sensitivity", 51),
        ("nait_all_features", 15),
        ("nait_skills", 260),
        ("scale", 1000),
    ],
)
def test_experiments(registry, name, cells):
    found = expand([f"experiment={name}"], registry)
    assert len(found) == cells
    for cell in (found[0], found[-1]):
        assert compose_run(cell, registry).comparison == name


def test_the_paper_on_sparse_autoencoders_names_a_published_one_for_its_own_selectors(registry):
    from helpers.sae_lens_parts import AUTOENCODER, MODEL

    runs = [compose_run(cell, registry) for cell in expand(["experiment=sae_paper"], registry)]
    named = {run.selector.plugin_name: getattr(run.selector, "autoencoder", None) for run in runs}
    others = dict.fromkeys(("base", "full", "random", "longest"))
    assert named == {**others, "sae_greedselect": AUTOENCODER, "sae_simscale": AUTOENCODER}
    assert {run.scorer.path for run in runs} == {MODEL}
    one = compose_run(expand(["experiment=sae_paper", "selector.autoencoder=null"], registry)[-1], registry)
    assert one.selector.autoencoder is None and one.selector.stochastic


def test_every_experiment_is_listed_above():
    assert set(_choices("experiment")) == {case[0] for case in test_experiments.pytestmark[0].args[1]}


def test_presets_from_before_pools_were_plugins_still_compose(tmp_path):
    for group, place in (("pool", ""), ("target", "@_here_")):
        (tmp_path / group).mkdir()
        package = "# @package target.old\n" if group == "target" else ""
        text = f"{package}defaults: [schema_file{place}, _self_]\nname: old\npath: a.jsonl\n"
        (tmp_path / group / "old.yaml").write_text(text)
    run = composed_run(["pool=old", "target=old"], tmp_path)
    assert run.pool.plugin_name == run.targets["old"].plugin_name == "file" and run.pool.path == "a.jsonl"
