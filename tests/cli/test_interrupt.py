"""Ctrl-C and SIGTERM: one line, exit status 130 or 143, nothing half-written, and the same command goes on.

At once when pressed twice, whatever a plugin or a library does; wherever the command was.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selbench.cli import interrupt

LIMIT_S = 120.0  # generous: the plugins below sleep for ten minutes
COMMAND = [sys.executable, "-c", "from selbench.cli.main import main; main()"]
PLUGIN = """
import atexit
import os
import time
from pathlib import Path
from selbench.api import Budget, Context, ModelRef, Pool, Score, Selection, selector, suite

def sleep_once(begun, deaf=False):
    if Path(begun).exists():
        return
    Path(begun).touch()
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except KeyboardInterrupt:
            if not deaf:
                raise
    raise RuntimeError("never interrupted")

@selector("slow")
class Slow:
    '''Takes ten minutes, once.

    Options:
        begun: a file to write on beginning; where it exists, nothing takes time.
        deaf: whether Ctrl-C is swallowed.
        late: whether the process ends slowly.
        fork: whether a forked child is sent SIGTERM first.
        mirror: whether MLflow is what takes ten minutes.
    '''
    begun: str
    deaf: bool = False
    late: bool = False
    fork: bool = False
    mirror: bool = False

    def select(self, pool: Pool, budget: Budget, context: Context) -> Selection:
        if self.late:
            atexit.register(time.sleep, 600)
        if self.fork:
            from multiprocessing import get_context
            child = get_context("fork").Process(target=time.sleep, args=(600,))
            child.start()
            time.sleep(0.5)
            child.terminate()
            child.join()
            time.sleep(8)
            return Selection.ranked([float(child.exitcode == -15)] * len(pool), budget)
        if self.mirror:
            from mlflow import MlflowClient
            send = MlflowClient.log_inputs
            def slowly(*args, **kwargs):
                sleep_once(self.begun)
                return send(*args, **kwargs)
            MlflowClient.log_inputs = slowly
        else:
            (context.scratch / "half.txt").write_text("half a result")
            sleep_once(self.begun, self.deaf)
        return Selection.ranked([len(example.response) for example in pool], budget)

@suite("slow_suite")
class SlowSuite:
    '''Takes ten minutes, once.

    Options:
        begun: a file to write on beginning; where it exists, nothing takes time.
    '''
    begun: str

    def evaluate(self, model: ModelRef, context: Context) -> list[Score]:
        (context.scratch / "half.txt").write_text("half a result")
        sleep_once(self.begun)
        return [Score("slow", "accuracy", 0.5, items={"a": 0.0, "b": 1.0})]
"""


@pytest.fixture
def command(settings: list[str], tmp_path: Path) -> Callable[..., list[str]]:
    """`command(option, ...)` is a run of the selector `slow`; later options stand for earlier ones of the same name."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "slow.py").write_text(PLUGIN)
    (toys,) = [text.partition("=")[2] for text in settings if text.startswith("plugin_path")]
    own = [f"plugin_path=[{toys},{tmp_path / 'plugins'}]", "selector=slow", f"selector.slow.begun={tmp_path / 'begun'}"]

    def build(*options: str) -> list[str]:
        chosen = {text.partition("=")[0]: text for text in [*settings, *own, *options]}
        return [*COMMAND, *chosen.values()]

    return build


def _signals_as_in_a_terminal() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that it starts, these tests too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[list[str]], subprocess.Popen[str]]:
    """`begun(command)` is the command in a process group of its own, once its plugin is at work."""

    def start(command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=_signals_as_in_a_terminal,
        )
        until = time.monotonic() + LIMIT_S
        while not (tmp_path / "begun").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.3)
        return process

    return start


def ended(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=LIMIT_S)[1]
    finally:
        process.kill()


def assert_clean(said: str, outputs: Path, word: str = "interrupted") -> None:
    """One line was said, and no working folder, half result or file written aside is left."""
    assert said.count("error: ") == 1 and f"error: {word}" in said and "Traceback" not in said, said
    hidden = [
        path
        for path in outputs.rglob(".*")
        if path.suffix != ".lock" and path.name not in (".locks", ".mlflow.db.json")
    ]
    assert not [path for path in hidden if path.name != ".checkpoints"]
    assert not [*outputs.rglob("half.txt")]


def assert_goes_on(command: list[str], outputs: Path) -> None:
    again = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert again.returncode == 0, again.stderr
    records = [json.loads(path.read_text()) for path in outputs.rglob("record.json")]
    assert records and {record["status"] for record in records} == {"finished"}
    checked = subprocess.run([*COMMAND, "store", "verify", "--outputs", str(outputs)], capture_output=True, text=True)
    assert checked.returncode == 0 and " 0 damaged" in checked.stderr, checked.stderr


CTRL_C = (signal.SIGINT, 130, "interrupted")
SIGTERM = (signal.SIGTERM, 143, "terminated (SIGTERM)")


@pytest.mark.parametrize(
    ("where", "number", "status", "word"),
    [
        ("selection", *CTRL_C),
        pytest.param("evaluation", *CTRL_C, marks=pytest.mark.slow),
        pytest.param("second cell", *CTRL_C, marks=pytest.mark.slow),
        ("second cell", *SIGTERM),
        pytest.param("isolated selection", *CTRL_C, marks=pytest.mark.slow),
        ("isolated and deaf", *SIGTERM),
    ],
)
def test_a_signal_ends_the_command_in_one_line_and_the_same_command_goes_on(
    begun, command, tmp_path, where, number, status, word
):
    options = {
        "selection": [],
        "isolated selection": ["isolate=true"],
        "isolated and deaf": ["isolate=true", "selector.slow.deaf=true"],
        "evaluation": ["selector=random", "suite=[slow_suite]", f"suite.slow_suite.begun={tmp_path / 'begun'}"],
        "second cell": ["selector=random,slow"],
    }[where]
    typed = command(*options)
    if where == "evaluation":
        typed = [text for text in typed if not text.startswith("selector.slow")]
    if where == "second cell":
        typed.insert(len(COMMAND), "-m")
    process = begun(typed)
    os.killpg(process.pid, number)  # as a terminal does: to all processes of the command
    said = ended(process)
    assert process.returncode == status
    if where == "isolated and deaf":  # its process is killed, and leaves a working folder that the next command deletes
        assert said.count("error: ") == 1 and f"error: {word}" in said and "Traceback" not in said, said
    else:
        assert_clean(said, tmp_path / "outputs", word)
    assert len([*(tmp_path / "outputs").rglob("record.json")]) == (where == "second cell")
    assert_goes_on(typed, tmp_path / "outputs")


def test_a_process_that_would_end_slowly_ends_at_once(begun, command, tmp_path):
    process = begun(command("selector.slow.late=true"))
    os.kill(process.pid, signal.SIGINT)
    said = ended(process)
    assert process.returncode == 130
    assert_clean(said, tmp_path / "outputs")


@pytest.mark.parametrize("second", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_second_signal_ends_what_swallows_the_first(begun, command, second):
    process = begun(command("selector.slow.deaf=true"))
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.5)
    sent = time.monotonic()
    os.kill(process.pid, second)
    said = ended(process)
    assert time.monotonic() - sent < interrupt.GRACE_S - 1
    assert process.returncode == 130
    assert said.count("error: interrupted") == 1 and "Traceback" not in said, said


@pytest.mark.slow
def test_what_swallows_the_only_ctrl_c_is_ended_after_a_while(begun, command, tmp_path):
    typed = command("selector.slow.deaf=true")
    process = begun(typed)
    os.kill(process.pid, signal.SIGINT)
    said = ended(process)
    assert process.returncode == 130
    assert said.count("error: interrupted") == 1 and "Traceback" not in said, said
    assert_goes_on(typed, tmp_path / "outputs")  # deletes the working folder that is left


@pytest.mark.slow
def test_the_end_of_a_forked_child_does_not_end_the_command(command, tmp_path):
    """Pools of workers end theirs by SIGTERM; the child must die of it, and the command outlive GRACE_S."""
    ran = subprocess.run(command("selector.slow.fork=true"), capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    (selection,) = (tmp_path / "outputs" / "runs").glob("*/selection.json")
    assert set(json.loads(selection.read_text())["scores"]) == {1.0}


@pytest.mark.parametrize(
    ("many", "number"),
    [pytest.param(["-m"], signal.SIGINT, marks=pytest.mark.slow), ([], signal.SIGKILL)],
    ids=["grid, Ctrl-C", "run, kill -9"],
)
def test_no_mlflow_run_is_left_running(begun, command, tmp_path, many, number):
    typed = command("selector.slow.mirror=true", "tracking=mlflow")
    typed[len(COMMAND) : len(COMMAND)] = many
    process = begun(typed)
    os.kill(process.pid, number)
    said = ended(process)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert_clean(said, tmp_path / "outputs")
    assert "RUNNING" not in mlflow_states(tmp_path)
    assert_goes_on(typed, tmp_path / "outputs")
    assert "FINISHED" in mlflow_states(tmp_path)
    sent = subprocess.run([*COMMAND, "sync", "--outputs", str(tmp_path / "outputs")], capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    assert set(mlflow_states(tmp_path)) == {"FINISHED"}  # also that of the interrupted sweep, which is never run again


def mlflow_states(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "outputs" / "mlflow.db") as database:
        return [status for (status,) in database.execute("select status from runs")]
