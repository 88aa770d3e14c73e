"""A sweep on a real SLURM of two nodes: the board is that of one process, also when jobs or a node are lost on the way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.launchers import COMMAND, run_command, with_launchers
from helpers.recorded import records
from helpers.slurm_cluster import WITH_PARENT, SlurmCluster, slurm_cluster, wait_until
from helpers.toy_sweeps import ARMS, CELLS, board, toy_sweep

# `make test-long` runs all of them; CI the first, the short form.
pytestmark = [pytest.mark.slow, *with_launchers("submitit_local")[0].marks]
LIMIT_S = 480.0  # of one sweep on a busy machine; the longest took 230 s on one with two cores and a load of 12
SMALL = ["cpus_per_task=1", "gpus_per_node=null", "mem_gb=1"]
ON_SLURM = ["hydra/launcher=slurm", "shared_store=true", *(f"hydra.launcher.{option}" for option in SMALL)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as running:
        yield running


@pytest.fixture
def sweep(cluster, toy_model, toy_pool, tmp_path) -> Callable[[str], list[str]]:
    """`sweep(name)` is the command of a toy sweep with outputs of that name."""
    for node, state in cluster.states().items():
        assert state == "idle", f"{node} is {state}: {cluster.logs()}"
    (tmp_path / "calls").mkdir()
    return lambda name: toy_sweep(toy_model, toy_pool, tmp_path / "plugins", tmp_path / name)


@pytest.fixture(scope="module")
def expected(toy_model, toy_pool, tmp_path_factory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("basic")
    ended = run_command(*toy_sweep(toy_model, toy_pool, folder / "plugins", folder / "outputs"))
    assert ended.returncode == 0, ended.stderr
    rows = board(folder / "outputs")
    assert len(rows) == ARMS
    return rows


class Started:
    """A sweep that goes on while the test does something to it."""

    def __init__(self, process: subprocess.Popen[str], calls: Path) -> None:
        self.process, self._calls = process, calls

    def calls(self) -> list[str]:
        """The host on which each call of the plugin was, in order."""
        files = sorted(self._calls.iterdir(), key=lambda file: int(file.name))
        return [file.read_text().split()[0] for file in files]

    def first_call(self) -> str:
        """The host of the first call, which stays; waits until it has come."""
        wait_until(lambda: self.calls() or self.process.poll() is not None, "the plugin was not called", 240)
        assert self.calls(), self.process.communicate()
        return self.calls()[0]

    def end(self) -> tuple[int, str]:
        """The exit status and messages, once the sweep has ended."""
        _, messages = self.process.communicate(timeout=LIMIT_S)
        assert "Traceback" not in messages, messages
        return self.process.returncode, messages


@pytest.fixture
def started(cluster, tmp_path):
    """`started(arguments)` begins a command on the cluster; it and its jobs end with the test."""

    @contextmanager
    def start(arguments: list[str], **environ: str) -> Iterator[Started]:
        given = {"OMP_NUM_THREADS": "1", "TEST_CALLS": str(tmp_path / "calls"), **cluster.environ, **environ}
        process = subprocess.Popen(
            [*WITH_PARENT, *COMMAND, *arguments],
            env={**os.environ, **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Started(process, tmp_path / "calls")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            cluster.clear()

    return start


def test_two_waves_give_the_board_of_one_process(cluster, site, toy_model, toy_pool, tmp_path):
    grid = ["selector=random,first_ones,shortest", "seed=0,1", "budget=4"]  # plugins of a folder and of a package
    boards = []
    for name, more, environ in (("basic", [], {}), ("slurm", ON_SLURM, cluster.environ)):
        command = toy_sweep(toy_model, toy_pool, tmp_path / "plugins", tmp_path / name, grid)
        ended = run_command(*command, *more, site=site, **environ)
        assert ended.returncode == 0 and "6 of 6 cells" in ended.stderr, ended.stderr
        boards.append(board(tmp_path / name))
    assert boards[0] == boards[1] and len(boards[0]) == 3
    assert "stages that cells share, then the cells" in ended.stderr and "sacct" not in ended.stderr, ended.stderr
    logs = "".join(path.read_text() for path in (tmp_path / "slurm" / "slurm").rglob("*_log.out"))
    assert "hostname=n1" in logs and "hostname=n2" in logs


@pytest.mark.long
def test_a_node_that_is_lost_costs_no_cell(cluster, sweep, expected, started, tmp_path):
    with started([*sweep("slurm"), *ON_SLURM]) as running:
        node = running.first_call()
        cluster.kill_node(node)
        try:
            status, messages = running.end()
        finally:
            cluster.start_node(node)
            cluster.all_idle()
    assert status == 0, messages
    assert board(tmp_path / "slurm") == expected
    assert running.calls()[0] == node and set(running.calls()[1:]) == {next(n for n in cluster.nodes if n != node)}


@pytest.mark.long
@pytest.mark.parametrize("again", [0, 1])
def test_a_job_at_its_time_limit_fails_its_cell_or_is_started_again(cluster, sweep, expected, started, tmp_path, again):
    limits = ["timeout_min=1", "signal_delay_s=20", f"max_num_timeout={again}"]
    with started([*sweep("slurm"), *ON_SLURM, *(f"jobs.cells.{option}" for option in limits)]) as running:
        running.first_call()
        status, messages = running.end()
    if again:
        assert status == 0, messages
        assert board(tmp_path / "slurm") == expected
        return
    assert status == 1 and f"{CELLS - 1} finished" in messages and "1 failed" in messages, messages
    (failed,) = [record for record in records(tmp_path / "slurm") if record["status"] == "failed"]
    assert failed["reason"].startswith("its job reached the time limit of SLURM's (hydra.launcher.timeout_min)")
    assert failed["reason"].endswith(", in the step: selecting")


@pytest.mark.long
def test_a_job_that_is_cancelled_fails_its_cell_without_accounting_too(cluster, sweep, started, tmp_path):
    with started([*sweep("slurm"), *ON_SLURM]) as running:
        (job,) = cluster.jobs_on(running.first_call())
        cluster.command("scancel", job)
        status, messages = running.end()
    assert status == 1 and f"{CELLS - 1} finished" in messages and "1 failed" in messages, messages
    (failed,) = [record for record in records(tmp_path / "slurm") if record["status"] == "failed"]
    assert "of SLURM's was cancelled (log: " in failed["reason"]
    again = run_command(*sweep("slurm"), *ON_SLURM, "retry=failed", **cluster.environ)
    assert again.returncode == 0 and f"{CELLS} finished" in again.stderr, again.stderr


@pytest.mark.long
def test_a_job_that_is_preempted_goes_on(cluster, sweep, expected, started, tmp_path):
    with started([*sweep("slurm"), *ON_SLURM]) as running:
        (job,) = cluster.jobs_on(running.first_call())
        for name in ("TERM", "USR2"):  # as SLURM sends them to all processes of a job when another takes its place
            cluster.command("scancel", f"--signal={name}", job)
        status, messages = running.end()
    assert status == 0, messages
    assert board(tmp_path / "slurm") == expected
