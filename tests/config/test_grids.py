"""The cells of a grid are those that Hydra's own sweeper makes, and what a command line may hold besides settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from selbench.config.composition import composing
from selbench.config.grids import expand
from selbench.config.program import command_line
from selbench.config.schemas import register
from selbench.errors import UserError
from selbench.plugins import discover


@pytest.fixture(scope="module")
def registry():
    found = discover()
    register(found)
    return found


def _swept(overrides: list[str], axes: list[str]) -> list[list[str]]:
    """What Hydra's sweeper makes of the axes of an experiment and of a command line."""
    with composing():
        compose("config")
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        (batch,) = BasicSweeper.split_arguments(parser.parse_overrides([*axes, *overrides]), None)
        return [list(cell) for cell in batch]


@pytest.mark.parametrize(
    ("overrides", "cells"),
    [
        (["seed=0,1", "budget=0.1,0.2", "selector=mads"], 4),
        (["seed=range(0,6,2)"], 3),
        (["selector=choice(random,mads)", "seed=sort(2,1,0)"], 6),
        (["model=glob(planted*)"], 2),
        (["model=glob(*,exclude=[e*,g*,l*,q*,s*,t*,m*])"], 2),
        (["comparison='a,b'", "seed=1,2"], 2),
        (["comparison='a b','c=d'"], 2),
        (["suite=[planted],[planted,mmlu]"], 2),
        (["seed=0", "seed=1,2", "budget=3"], 2),
        (["+published={a: 1},{a: 2}"], 2),
        (["~tracking", "seed=0,1"], 2),
        (["selector=mads", "selector.layers=all,'0'"], 2),
        (["seed=0,1", "hydra.verbose=true"], 2),
    ],
    ids=str,
)
def test_cells_are_those_of_hydras_sweeper(registry, overrides, cells):
    found = expand(overrides, registry)
    assert found == _swept(overrides, []) and len(found) == cells


@pytest.mark.parametrize(
    ("overrides", "cells"),
    [([], 24), (["seed=7"], 12), (["budget=5,6,7", "selector=random"], 6), (["keep_models=true"], 24)],
    ids=str,
)
def test_the_axes_of_an_experiment_can_be_set_on_the_command_line(registry, overrides, cells):
    axes = ["selector=base,full,random,longest,kcenter_tfidf,mads", "budget=0.1,0.2", "seed=0,1"]
    found = expand(["experiment=demo", *overrides], registry)
    assert found == _swept(["experiment=demo", *overrides], axes) and len(found) == cells


def test_an_interval_has_no_cells(registry):
    with pytest.raises(UserError, match="INTERVAL"):
        expand(["seed=interval(0,1)"], registry)


@pytest.mark.parametrize("flag", [["-m"], ["--multirun"]])
@pytest.mark.parametrize("folder", [["--config-dir", "mine"], ["-cd", "mine"], ["--config-dir=mine"]])
def test_flags_may_stand_anywhere(flag, folder):
    for typed in ([*flag, *folder, "a=1", "b=2"], ["a=1", *flag, "b=2", *folder], ["a=1", "b=2", *folder, *flag]):
        read = command_line(typed)
        assert (read.overrides, read.multirun, read.config_dir) == (["a=1", "b=2"], True, Path("mine"))
        assert not read.for_hydra and not read.help


@pytest.mark.parametrize(
    "typed",
    [
        ["--cfg", "job"],
        ["-c", "all"],
        ["--info"],
        ["-i", "defaults"],
        ["--hydra-help"],
        ["-sc", "install=bash"],
        ["--foo"],
    ],
    ids=str,
)
def test_the_rest_is_left_to_hydra(typed):
    assert command_line([*typed, "seed=1"]).for_hydra
    assert not command_line(["seed=1", "--run"]).for_hydra


@pytest.mark.parametrize("typed", [["--config-name", "x"], ["-cp", "x"]])
def test_the_primary_config_is_fixed(typed):
    with pytest.raises(UserError, match="--config-dir"):
        command_line(typed)
