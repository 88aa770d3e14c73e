"""Every command of docs/your-own-data.md runs, in a folder with the files that the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

import selbench as package

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-own-data.md").read_text()
MODEL = Path(package.__file__).parent / "planted" / "models" / "planted-1m"


@pytest.mark.slow
def test_the_page(selbench, tmp_path, monkeypatch):
    for name, text in re.findall(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SELBENCH_OUTPUTS", raising=False)
    commands = re.findall(r"^selbench .*$", PAGE, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        arguments = shlex.split(command.replace("$MODEL", str(MODEL)))[1:]
        ran = selbench(*arguments)
        assert ran.status == 0, f"{command}\n{ran.out}{ran.err}"
    core = pd.read_csv("core.csv")
    assert core["pool_row"][0] == 5 and core["difficulty"][0] == 2
    assert len(pd.read_parquet("chosen.parquet")) == 10


def test_readme_and_help_lead_there(selbench):
    readme, told = (ROOT / "README.md").read_text(), selbench("--help").out
    assert "docs/your-own-data.md" in readme
    for text in (readme, told):
        for setting in (
            "target.file.path=",
            "pool.columns.",
            "suite.lm_eval.include_path=",
            "suite.response_loss.sets.",
        ):
            assert setting in text, setting
    assert "%%" not in told
