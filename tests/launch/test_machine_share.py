"""Processes of one machine share out its cores and its GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.launchers import run_command, with_launchers
from helpers.toy_runs import TOYS

from selbench.launch.machine_share import GPUS, THREADS, threads_of
from selbench.placement import gpus_here

TAKE = """
import os, sys, time
from pathlib import Path
from selbench.launch.machine_share import take_gpu
taken = take_gpu(["0", "GPU-8f"], int(sys.argv[2]), lambda text: print(text, flush=True), Path(sys.argv[1]))
print(taken, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("cores", "at_once", "environ", "threads"),
    [
        (16, 4, {}, 4),
        (2, 4, {}, 1),
        (16, 3, {}, 5),
        (16, 4, {"OMP_NUM_THREADS": "2"}, 2),
        (64, 1, {"SLURM_CPUS_PER_TASK": "8"}, 8),
        (8, 2, {"OMP_NUM_THREADS": "", "SLURM_CPUS_PER_TASK": "many"}, 4),
    ],
)
def test_cores_are_shared_out(cores, at_once, environ, threads):
    assert threads_of(cores, at_once, environ) == threads


class Taker:
    """A process that takes one of two GPUs and keeps it until told to end."""

    def __init__(self, folder: Path, at_once: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(folder), str(at_once)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != GPUS},
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def test_every_process_has_a_gpu_for_itself_and_a_killed_one_gives_its_back(tmp_path):
    first, second = Taker(tmp_path, 2), Taker(tmp_path, 2)
    third = None
    try:
        assert {first.line(), second.line()} == {"0 0", "GPU-8f GPU-8f"}
        third = Taker(tmp_path, 2)
        assert third.line() == "waiting for a GPU: other commands have all of 0, GPU-8f"
        first.end()
        assert third.line() in ("0 0", "GPU-8f GPU-8f")
    finally:
        for taker in filter(None, (first, second, third)):
            taker.end()


def test_more_processes_than_gpus_are_spread_over_them(tmp_path):
    takers = [Taker(tmp_path, 4) for _ in range(4)]
    try:
        assert sorted(taker.line() for taker in takers) == ["0 0", "0 0", "GPU-8f GPU-8f", "GPU-8f GPU-8f"]
    finally:
        for taker in takers:
            taker.end()


@pytest.mark.parametrize(
    ("listed", "gpus"),
    [("3,1", ["3", "1"]), ("", []), ("-1", []), ("2,-1,0", ["2"]), ("GPU-8f, GPU-9a", ["GPU-8f", "GPU-9a"])],
)
def test_the_gpus_that_are_listed_are_those_that_may_be_used(monkeypatch, listed, gpus):
    monkeypatch.setenv(GPUS, listed)
    assert gpus_here() == gpus


WITNESS = """
import json, os, time
from pathlib import Path
from selbench.api import Selection, selector

@selector("witness")
class Witness:
    '''Writes down the threads and the GPU that it was given.'''
    into: str
    number: int = 0
    def select(self, pool, budget, context):
        import faiss, torch
        about = {"torch": torch.get_num_threads(), "faiss": faiss.omp_get_max_threads()}
        about["gpu"] = os.environ.get("CUDA_VISIBLE_DEVICES")
        Path(self.into, f"{self.number}.json").write_text(json.dumps(about))
        end = time.monotonic() + 60
        while len([*Path(self.into).glob("*.json")]) < 2 and time.monotonic() < end:
            time.sleep(0.1)  # so that two processes have one cell each
        return Selection.ordered(range(len(pool)), budget)
"""


@pytest.mark.parametrize("launcher", with_launchers("processes"))
def test_cells_have_their_threads_and_their_gpu(settings, tmp_path, launcher):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "witness.py").write_text(WITNESS)
    (tmp_path / "seen").mkdir()
    rest = [text for text in settings if not text.startswith("plugin_path")]
    own = ["selector=witness", f"selector.into={tmp_path / 'seen'}", "selector.number=0,1", "hydra.launcher.n_jobs=2"]
    cores = len(os.sched_getaffinity(0))
    ended = run_command(
        *("-m", f"plugin_path=[{TOYS},{tmp_path / 'plugins'}]", *rest, *own, f"hydra/launcher={launcher}", "budget=4"),
        **{**dict.fromkeys(THREADS), GPUS: "GPU-of-this-test,GPU-of-this-test-too"},
    )
    assert ended.returncode == 0, ended.stderr
    seen = [json.loads((tmp_path / "seen" / f"{number}.json").read_text()) for number in (0, 1)]
    assert {about["gpu"] for about in seen} == {"GPU-of-this-test", "GPU-of-this-test-too"}
    assert {about["torch"] for about in seen} == {about["faiss"] for about in seen} == {max(1, cores // 2)}
