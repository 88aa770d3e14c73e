"""A cell whose process dies fails with the reason, is tried again with a limit, and the sweep goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from helpers.launchers import run_command, with_launchers
from helpers.recorded import records
from helpers.toy_runs import TOYS

PLUGIN = """
import ctypes, os, signal, subprocess, sys, time
from os import _exit as exit_really
from pathlib import Path
from selbench.api import Selection, selector

@selector("deadly")
class Deadly:
    '''Ends its process, unless it is cured.

    Options:
        how: in which way.
        marks: a folder; a file `cured` in it makes every way harmless. Each call leaves a file.
    '''
    how: str
    marks: str

    def select(self, pool, budget, context):
        marks = Path(self.marks)
        before = len([*marks.glob(f"{self.how}.*")])
        (marks / f"{self.how}.{before}").write_text(str(os.getpid()))
        if (marks / "cured").exists() or (self.how == "once" and before):
            return Selection.ordered(range(len(pool)), budget)
        if self.how == "segfault":
            ctypes.string_at(0)
        elif self.how == "exit":
            exit_really(3)
        elif self.how == "polite_exit":
            os._exit(3)
        elif self.how == "loop":
            while True:
                pass
        elif self.how == "error":
            raise ValueError("an error, and no death")
        os.kill(os.getpid(), signal.SIGKILL)
"""
REASONS = {
    "segfault": "its process crashed: segmentation fault (SIGSEGV), in the step: selecting (2 attempts) (traceback: ",
    "exit": "its process ended with status 3, as by os._exit(3), in the step: selecting (2 attempts)",
    "polite_exit": "selector 'deadly' tried to end the process: SystemExit: 3 in select().",
    "kill": "its process was killed by signal SIGKILL, most often for lack of memory, in the step: selecting (2 attempts)",
    "error": "ValueError: an error, and no death",
}


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@pytest.fixture
def deadly(settings, tmp_path, marks) -> list[str]:
    """Settings of a grid with the selector `deadly`."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "deadly.py").write_text(PLUGIN)
    rest = [text for text in settings if not text.startswith("plugin_path")]
    return ["-m", f"plugin_path=[{TOYS},{tmp_path / 'plugins'}]", *rest, "budget=4", f"selector.deadly.marks={marks}"]


def ways(outputs: Path) -> dict[str, dict]:
    """Way to die (or the selector's name) -> record."""
    return {
        record["config"]["selector"].get("how") or record["axes"]["selector"]: record for record in records(outputs)
    }


def calls(marks: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in marks.glob("*.*"):
        found[path.stem] = found.get(path.stem, 0) + 1
    return found


def assert_nothing_half_made(outputs: Path) -> None:
    for folder in (outputs / "store").glob("[!.]*"):
        assert not folder.is_dir() or not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_death_fails_its_cell_and_the_same_command_with_retry_heals_it(deadly, marks, tmp_path):
    grid = [*deadly, "selector=random,deadly", f"selector.deadly.how={','.join([*REASONS, 'once'])}"]
    ran = run_command(*grid, "isolate=true")
    assert (
        ran.returncode == 1
        and f"2 finished (of which 0 shared or already done), 0 skipped, {len(REASONS)} failed" in ran.stderr
    )
    assert "Traceback" not in ran.stderr
    found = ways(tmp_path / "outputs")
    assert {way for way, record in found.items() if record["status"] == "finished"} == {"random", "once"}
    for way, reason in REASONS.items():
        assert found[way]["status"] == "failed" and found[way]["reason"].startswith(reason), found[way]["reason"]
    assert "deadly.py" in Path(found["segfault"]["reason"].partition("traceback: ")[2].rstrip(")")).read_text()
    assert calls(marks) == {"segfault": 2, "exit": 2, "kill": 2, "once": 2, "error": 1, "polite_exit": 1}
    assert "Attempt 2 of 2 begins." in ran.stderr
    (marks / "cured").touch()
    again = run_command(*grid, "isolate=true", "retry=failed")
    assert again.returncode == 0, again.stderr
    assert {record["status"] for record in ways(tmp_path / "outputs").values()} == {"finished"}
    assert_nothing_half_made(tmp_path / "outputs")
    here = run_command(*grid, f"output_dir={tmp_path / 'here'}")
    assert here.returncode == 0, here.stderr
    assert board(tmp_path / "here") == board(tmp_path / "outputs"), "the same in the command's own process"


def board(outputs: Path) -> list[dict[str, str]]:
    path = max((outputs / "reports").glob("*.csv"), key=lambda path: path.stat().st_mtime)
    rows = csv.DictReader(path.read_text().splitlines())
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


@pytest.mark.parametrize("launcher", with_launchers("processes", "ray_cluster", slow=("ray_cluster",)))
def test_under_a_launcher_a_death_is_no_death_of_its_worker(deadly, marks, tmp_path, launcher):
    ran = run_command(
        *(
            *deadly,
            "selector=random,deadly",
            "selector.deadly.how=kill,segfault",
            "attempts=1",
            f"hydra/launcher={launcher}",
        )
    )
    assert ran.returncode == 1 and "1 finished (of which 0 shared or already done), 0 skipped, 2 failed" in ran.stderr
    assert "Traceback (most recent call last)" not in ran.stderr, ran.stderr
    assert calls(marks) == {"kill": 1, "segfault": 1}
    assert "lack of memory" in ways(tmp_path / "outputs")["kill"]["reason"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("again", "times"), [([], 1), (["attempts_at_limit=true"], 2)])
def test_a_limit_ends_an_endless_loop_and_is_tried_again_only_if_asked(deadly, marks, tmp_path, again, times):
    ran = run_command(*deadly, "selector=random,deadly", "selector.deadly.how=loop", "stage_time_limit=20s", *again)
    assert ran.returncode == 1 and "1 finished" in ran.stderr, ran.stderr
    assert calls(marks) == {"loop": times}
    reason = ways(tmp_path / "outputs")["loop"]["reason"]
    assert reason.startswith("stage_time_limit (20 s) was reached by the stage selection, in the step: selecting")
    assert ("(2 attempts)" in reason) == (times == 2)
    assert_nothing_half_made(tmp_path / "outputs")


def test_a_run_alone_may_be_isolated_too(deadly, marks, tmp_path):
    ran = run_command(*deadly[1:], "selector=deadly", "selector.deadly.how=kill", "isolate=true", "attempts=1")
    assert ran.returncode == 1 and "lack of memory" in ran.stderr and "Traceback" not in ran.stderr
    (marks / "cured").touch()
    assert "as before; retry=failed" in run_command(*deadly[1:], "selector=deadly", "selector.deadly.how=kill").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["cell_time_limit=soon"], "cell_time_limit=soon is no duration"),
        (["stage_time_limit=2h", "isolate=false"], "stage_time_limit needs a process that can be ended"),
        (["attempts=0"], "a cell is tried at least once"),
        (["isolate=maybe"], "isolate"),
    ],
)
@pytest.mark.parametrize("verb", [[], ["plan"]], ids=["run", "plan"])
def test_settings_that_mean_nothing_are_refused_before_any_cell(selbench, settings, tmp_path, options, said, verb):
    refused = selbench(*verb, *settings, *options)
    assert refused.status == 2 and said in refused.err.replace("\n", " ")
    assert not (tmp_path / "outputs" / "runs").exists()
