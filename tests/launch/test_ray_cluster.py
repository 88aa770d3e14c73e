"""A sweep on a Ray cluster of several raylets: the board is that of one process, also when a raylet dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from helpers.launchers import COMMAND, run_command, with_launchers
from helpers.toy_sweeps import ARMS, CELLS, board, toy_sweep

pytestmark = [pytest.mark.slow, pytest.mark.long, *with_launchers("ray_cluster")[0].marks]
LIMIT_S = 480.0
UP_S = 120.0


@pytest.fixture
def cluster(monkeypatch):
    """A head that carries out no tasks, and two raylets with one CPU each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def raylet_of(node) -> int:
    (process,) = node.all_processes["raylet"]
    return process.process.pid


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(child) for child in found]


def below(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    return {grand for child in children_of(pid) for grand in (child, *below(child))}


def test_a_raylet_that_is_killed_costs_no_cell(cluster, toy_model, toy_pool, tmp_path, monkeypatch):
    sweep = {
        name: toy_sweep(toy_model, toy_pool, tmp_path / "plugins", tmp_path / name) for name in ("basic", "ray_cluster")
    }
    ended = run_command(*sweep["basic"])
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "calls").mkdir()
    # The plugin must be in the environment of the raylets, whose workers it is called in.
    monkeypatch.setenv("TEST_CALLS", str(tmp_path / "calls"))
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    process = subprocess.Popen(
        [*COMMAND, *sweep["ray_cluster"], "hydra/launcher=ray_cluster"],
        env={**os.environ, "RAY_ADDRESS": cluster.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        first = tmp_path / "calls" / "0"
        end = time.monotonic() + UP_S * 2
        while not (first.exists() and first.read_text()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the plugin was not called"
            time.sleep(0.2)
        caller = int(first.read_text().split()[1])
        (node,) = [node for node in nodes if caller in below(raylet_of(node))]
        doomed = {raylet_of(node), *below(raylet_of(node))}
        for pid in doomed:  # as when a machine loses its power
            os.kill(pid, signal.SIGKILL)
        _, messages = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, messages
    assert f"{CELLS} of {CELLS} cells" in messages, messages
    assert len(board(tmp_path / "basic")) == ARMS
    assert board(tmp_path / "ray_cluster") == board(tmp_path / "basic")
    assert len([*(tmp_path / "calls").iterdir()]) > 2, "the call that was killed is made again"
