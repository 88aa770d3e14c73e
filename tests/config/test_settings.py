"""A setting is said once: the help page, the validation and the settings left aside are derived from its field."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from selbench.cli.main import help_text
from selbench.settings import Config, PlainSettings, Run, settings_help, without_effect

CONF = Path(__file__).resolve().parents[2] / "conf"


def test_every_setting_has_help_and_stands_on_the_help_page():
    page = help_text()
    for about in settings_help():
        assert about.text and f"  {about.name}=" in page and about.text in page, about.name
    assert "budget=0.1 " in page and "keep_models=false " in page and "retry=null " in page
    assert {about.name for about in settings_help()} == {item.name for item in dataclasses.fields(Config)}


def test_the_primary_config_says_only_what_differs():
    config = yaml.safe_load((CONF / "config.yaml").read_text())
    assert set(config) == {"defaults", "output_dir", "data_root", "hydra"}


def test_plain_settings_are_the_same_in_a_run():
    plain = {item.name for item in dataclasses.fields(PlainSettings)}
    for kind in (Config, Run):
        assert plain <= {item.name for item in dataclasses.fields(kind)}
        own = {"reuse", "budget"} if kind is Run else set()  # a Run's is one of the valid words, or a number
        assert not plain & (set(vars(kind)["__annotations__"]) - own)


def test_what_changes_results_is_compared():
    changing = {item.name for item in dataclasses.fields(Config)} - set(without_effect())
    assert changing == {
        *("pool", "selector", "model", "scorer", "target", "trainer", "suite", "budget", "budget_unit", "seed", "leaks")
    }
