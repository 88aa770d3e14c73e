"""Ctrl-C: one line, exit status 130, nothing half-written; at once when pressed twice, whatever a plugin or a library does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LIMIT_S = 120.0  # generous: the plugin below sleeps for ten minutes
PLUGIN = """
import atexit
import time
from pathlib import Path
from selbench.api import Budget, Context, Pool, Selection, selector

@selector("slow")
class Slow:
    '''Takes ten minutes.

    Options:
        begun: a file to write on beginning.
        deaf: whether Ctrl-C is swallowed.
        late: whether the process ends slowly.
    '''
    begun: str
    deaf: bool = False
    late: bool = False

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        if Path(self.begun).exists():
            return Selection.ranked([len(example.response) for example in pool], budget)
        if self.late:
            atexit.register(time.sleep, 600)
        (context.scratch / "half.txt").write_text("half a result")
        Path(self.begun).touch()
        end = time.monotonic() + 600
        while time.monotonic() < end:
            try:
                time.sleep(0.05)
            except KeyboardInterrupt:
                if not self.deaf:
                    raise
        raise RuntimeError("never interrupted")
"""


@pytest.fixture
def started(settings: list[str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`started(option, ...)` is the command in a process of its own, at work in its selector."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "slow.py").write_text(PLUGIN)

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(_command(settings, tmp_path, *options), stderr=subprocess.PIPE, text=True)
        while not (tmp_path / "begun").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        time.sleep(0.3)
        return process

    return start


def _command(settings: list[str], folder: Path, *options: str) -> list[str]:
    command = [sys.executable, "-c", "from selbench.cli.main import main; main()"]
    kept = [text for text in settings if not text.startswith(("plugin_path", "selector"))]
    (toys,) = [text.partition("=")[2] for text in settings if text.startswith("plugin_path")]
    own = [f"plugin_path=[{toys},{folder / 'plugins'}]", "selector=slow", f"selector.begun={folder / 'begun'}"]
    return [*command, *kept, *own, *options]


def _ended(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=LIMIT_S)[1]
    finally:
        process.kill()


@pytest.mark.parametrize("options", [(), ("selector.late=true",)], ids=["plain", "slow to end"])
def test_an_interrupted_run_says_so_in_one_line_leaves_nothing_half_written_and_goes_on(
    started, settings, tmp_path, options
):
    process = started(*options)
    os.kill(process.pid, signal.SIGINT)
    said = _ended(process)
    assert process.returncode == 130
    assert said.count("error: interrupted") == 1 and "Traceback" not in said, said
    left = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert not [path for path in left if path.name in ("half.txt", "record.json")]
    again = subprocess.run(_command(settings, tmp_path, *options[1:]), capture_output=True, text=True, timeout=LIMIT_S)
    assert again.returncode == 0, again.stderr
    assert [*(tmp_path / "outputs").rglob("record.json")]


def test_a_second_ctrl_c_ends_what_swallows_the_first(started, tmp_path):
    process = started("selector.deaf=true")
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    said = _ended(process)
    assert process.returncode == 130
    assert said.count("error: interrupted") == 1 and "Traceback" not in said, said


def test_what_swallows_the_only_ctrl_c_is_ended_after_a_while(started, tmp_path):
    process = started("selector.deaf=true")
    os.kill(process.pid, signal.SIGINT)
    _ended(process)
    assert process.returncode == 130
