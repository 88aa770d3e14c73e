"""`trainer=command` from the command line: whole runs, failures with the end of the tool's log, refusals, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import toy_runs

TESTS = Path(__file__).parents[1]
ODD = TESTS / "helpers" / "odd_tool.py"
REAL = TESTS.parent / "plugins" / "trainers" / "_example_tool.py"
COMMAND = [sys.executable, "-c", "from selbench.cli.main import main; main()"]
BASIC = "--data={data} --model={model} --output={output} --seed={seed}"


def typed(words: str, **options: Any) -> list[str]:
    """`trainer=command` with this command, and with these options."""
    return [
        "trainer=command",
        f"trainer.command='{words}'",
        *(f"trainer.{key}={text}" for key, text in options.items()),
    ]


def odd(mode: str, more: str = "") -> list[str]:
    return typed(f"{{python}} {ODD} {mode} {BASIC} {more}")


@pytest.fixture
def planted(tmp_path: Path) -> list[str]:
    """Runs on the planted pool and model that are scored by a toy, and hold that what they made."""
    outputs = tmp_path / "out puts"
    plugins = f"plugin_path={toy_runs.TOYS}"
    return [plugins, "model=planted-1m", "suite=[toy_suite]", "tracking=none", "budget=24", f"output_dir='{outputs}'"]


def records(tmp_path: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (tmp_path / "out puts" / "runs").glob("*/record.json")]
    return sorted(found, key=lambda record: (record["axes"]["selector"], record["axes"]["seed"]))


@pytest.mark.slow
@pytest.mark.long
def test_a_whole_run_with_a_real_tool_two_seeds_and_two_suites(selbench, planted, tmp_path, monkeypatch):
    held_out = tmp_path / "held out.jsonl"
    rows = [{"instruction": f"say {word}", "output": f"the {word} bird"} for word in ("red", "green", "blue")]
    held_out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "my tools"
    folder.mkdir()
    (folder / "train it.py").write_text(REAL.read_text())
    monkeypatch.chdir(folder)
    words = f'{{python}} "train it.py" {BASIC} --epochs={{epochs}} --learning_rate={{learning_rate}}'
    suites = ["suite=[toy_suite,response_loss]", f"suite.response_loss.sets.held_out='{held_out}'"]
    command = [*planted, *suites, *typed(words, epochs=1, learning_rate=1e-3)]
    ran = selbench("-m", "selector=base,random", "seed=0,1", *command)
    assert ran.status == 0, ran.err
    base, *tuned = records(tmp_path)
    losses = [
        next(row["value"] for row in record["scores"] if row["suite"] == "response_loss" and row["headline"])
        for record in (base, *tuned)
    ]
    assert len(set(losses)) == 3  # two seeds, and neither is the base
    assert [record["unchanged"] for record in tuned] == [False, False]
    assert {record["axes"]["trainer"] for record in tuned} == {"command"}
    assert all(record["logged"]["training/tool_s"] > 0 for record in tuned)
    assert "trainer command" in ran.out


@pytest.mark.parametrize("mode, reason", [("fails", "ended with exit status 3"), ("nothing", "has left no model")])
def test_a_failing_tool_fails_its_cell_with_the_end_of_its_log(selbench, planted, tmp_path, mode, reason):
    ran = selbench("selector=random", *planted, *odd(mode))
    assert ran.status == 1
    assert reason in ran.err and "24 rows, seed" in ran.err and "Traceback" not in ran.err
    (record,) = records(tmp_path)
    assert record["status"] == "failed" and "24 rows, seed" in record["reason"]
    log = Path(record["reason"].partition("its log (")[2].partition("):")[0])
    assert log.is_file() and log.read_text().startswith("24 rows")
    shown = selbench("show", record["key"], "--outputs", str(tmp_path / "out puts"))
    assert reason in shown.out


def test_a_copy_of_the_base_is_told(selbench, planted):
    ran = selbench("selector=random", *planted, *odd("copies"))
    assert ran.status == 0 and "fine-tuning changed nothing" in ran.err


@pytest.mark.parametrize("verb", [[], ["-m"], ["plan"]], ids=str)
@pytest.mark.parametrize(
    "given, message",
    [
        (["trainer=command"], "has no command"),
        (odd("fails", "{sed}"), "unknown placeholder 'sed'"),
        (typed(f"no-such-tool {BASIC}"), "no-such-tool is not on PATH"),
        (["trainer=torchrun"], "trainer.values.script is not set"),
        ([*odd("fails"), "trainer.data=csv"], "unknown value 'csv'"),
        ([*odd("fails", "{config}"), "trainer.config_file=/nowhere.yaml"], "cannot be read"),
    ],
    ids=["no command", "placeholder", "program", "script", "form", "config"],
)
def test_refused_before_any_cell(selbench, planted, tmp_path, verb, given, message):
    ran = selbench(*verb, "selector=random", *planted, *given)
    assert ran.status == 2 and message in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert not list(tmp_path.glob("out puts/runs/*")) and not list(tmp_path.glob("out puts/store/training/*"))


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "SIGKILL"])
def test_the_tool_ends_with_selbench(planted, tmp_path, number, status):
    note = tmp_path / "pids"
    given = odd("hangs", f'--note="{note}"')
    process = subprocess.Popen(
        [*COMMAND, "selector=random", *planted, *given],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    _wait_for(lambda: note.is_file() and len(note.read_text().split()) == 2)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    tool, child = map(int, note.read_text().split())
    _wait_for(lambda: _ended(tool))
    if number == signal.SIGINT:  # nobody is left after SIGKILL who could end the tool's own children
        _wait_for(lambda: _ended(child))
        assert "What was finished is kept" in said
    elif not _ended(child):
        os.kill(child, signal.SIGKILL)
    stages = [path for path in (tmp_path / "out puts" / "store" / "training").glob("*") if path.name[0] != "."]
    assert not stages


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _wait_for(met: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
