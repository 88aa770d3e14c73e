"""System prompts that a chat template does not know: refused before any cell, and what the message names works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REFUSES = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ message.role + ': ' + message.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.fixture
def run(selbench, settings, tmp_path: Path):
    """`run("plan", ...)` with a template that knows no system prompt, and a pool in which the last row has one."""
    template = tmp_path / "refuses.jinja"
    template.write_text(REFUSES)
    rows = [{"id": f"row{i:02d}", "instruction": f"say {i}", "output": "one", "system": ""} for i in range(20)]
    rows[-1]["system"] = "be brief"
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*arguments: str):
        verb = [one for one in arguments if one in ("plan", "select", "-m")]
        mine = ["pool=file", f"pool.path={tmp_path / 'pool.jsonl'}", "budget=4", f"model.template={template}"]
        kept = [text for text in settings if not text.startswith("pool")]
        return selbench(*verb, *kept, *mine, *(one for one in arguments if one not in verb))

    return call


@pytest.mark.parametrize("verb", [["plan"], []])
def test_a_system_prompt_that_the_template_refuses_stops_before_any_cell(run, tmp_path: Path, verb: list[str]) -> None:
    ran = run(*verb)
    assert ran.status != 0
    assert "example 'row19': the chat template of" in ran.err
    assert "refuses it: System role not supported" in ran.err
    assert "pool.system=into_user puts the system prompt before the first user turn; pool.system=drop" in ran.err
    assert "Traceback" not in ran.err
    assert not list((tmp_path / "outputs" / "runs").glob("*/record.json"))


@pytest.mark.parametrize("how", ["drop", "into_user"])
def test_the_option_lets_it_run(run, tmp_path: Path, how: str) -> None:
    assert run(f"pool.system={how}").status == 0
    (path,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    record = json.loads(path.read_text())
    assert record["config"]["pool"]["system"] == how
    assert record["filters"]["pool"]["system"] == how
    # Another pool than the whole one, by its key and by its name in tables.
    assert record["axes"]["pool"] == f"pool (system={how})"


def test_a_pool_without_system_prompts_is_the_same_with_the_option(selbench, settings, tmp_path: Path) -> None:
    assert selbench(*settings).status == 0
    assert selbench(*settings, "pool.system=drop").status == 0
    assert len([*(tmp_path / "outputs" / "runs").glob("*/record.json")]) == 1


def test_another_word_is_refused(run) -> None:
    ran = run("plan", "pool.system=away")
    assert ran.status != 0
    assert "away" in ran.err and "into_user" in ran.err


def test_an_unknown_skill_of_a_target_names_the_targets_setting(selbench, settings) -> None:
    mine = ["selector=nait", "target=planted", "target.planted.skills=[color]"]
    ran = selbench("plan", *(text for text in settings if not text.startswith("selector")), *mine)
    assert ran.status != 0
    assert "target.planted.skills: unknown skill 'color'. Did you mean 'colour'?" in ran.err
    assert "pool.skills" not in ran.err
