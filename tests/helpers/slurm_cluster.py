"""A SLURM cluster on this machine: munged, slurmctld, and nodes that have host names and processes of their own.

It needs root and Debian's slurm-wlm and munge, which it installs where it can. Everything it writes is in one folder, all
its ports are above 16000 and on the loopback device. There is no accounting (slurmdbd), as on some small clusters.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue", "unshare", "setpriv")
WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]  # ends a program with pytest, even if that is killed
INSTALL_S = 600.0  # for apt-get on a slow network
UP_S = 90.0  # for daemons to answer on a busy machine
CONFIG = """
ClusterName=selbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=20
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmdTimeout=3600
InactiveLimit=0
KillWait=15
MessageTimeout=60
{nodes}
PartitionName=all Nodes=n[1-{count}] Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName=n{number} NodeHostname=n{number} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=3000 State=UNKNOWN"


def require_slurm() -> None:
    """Skip the test, with the reason, where SLURM is not installed and cannot be, or its nodes cannot be started."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a SLURM cluster of the test's own needs root on Linux")
    missing = [name for name in PROGRAMS if not _program(name)]
    if missing and not shutil.which("apt-get"):
        pytest.skip(f"no {', '.join(missing)}, and no apt-get to install slurm-wlm and munge with")
    if missing:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]):
            try:
                ended = subprocess.run(
                    ["apt-get", *command], env=environ, capture_output=True, text=True, timeout=INSTALL_S
                )
            except subprocess.TimeoutExpired:
                pytest.skip(f"apt-get {command[0]} did not end within {INSTALL_S:.0f} s")
            if ended.returncode:
                last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
                pytest.skip(f"slurm-wlm and munge cannot be installed: apt-get {command[0]}: {last}")
    if missing := [name for name in PROGRAMS if not _program(name)]:
        pytest.skip(f"Debian's slurm-wlm and munge have no {', '.join(missing)} here")
    if subprocess.run([*_OWN_SPACE, "true"], capture_output=True).returncode:
        pytest.skip("this container may not make namespaces (unshare --uts --pid --mount), which the nodes are made of")


_OWN_SPACE = ["unshare", "--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def wait_until(true: Callable[[], object], what: str, seconds: float = UP_S) -> None:
    """Wait until a function returns something true. Raises TimeoutError that names what was waited for."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:.0f} s: {what}")
        time.sleep(0.2)


class SlurmCluster:
    """Nodes n1, n2, ... with one CPU each. `environ` is what commands need to reach the cluster."""

    def __init__(self, folder: Path, nodes: int = 2) -> None:
        self.folder, self.nodes = folder, [f"n{number + 1}" for number in range(nodes)]
        self.environ = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the daemons and wait until all nodes are idle. Raises TimeoutError with the end of the logs."""
        ports = _free_ports(1 + len(self.nodes))
        text = CONFIG.format(
            host=socket.gethostname(),
            port=ports[0],
            folder=self.folder,
            count=len(self.nodes),
            nodes="\n".join(NODE.format(number=i + 1, port=port) for i, port in enumerate(ports[1:])),
        )
        (self.folder / "slurm.conf").write_text(text)
        for name in ("state", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir()
        self._start_munge()
        self._run("slurmctld", ["slurmctld", "-D", "-c"])
        for node in self.nodes:
            self.start_node(node)
        self.all_idle()

    def _start_munge(self) -> None:
        """With a key and a socket of this cluster's own."""
        munge = self.folder / "munge"
        munge.mkdir()
        subprocess.run([_program("mungekey") or "", "--create", f"--keyfile={munge / 'key'}"], check=True)
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        # --force: munged would rather be another user than root, in a folder that only it may write to.
        self._run("munged", ["munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files])
        wait_until((munge / "socket").exists, "munged has made no socket")

    def start_node(self, node: str) -> None:
        """Start a node in namespaces of its own, so that it has its own host name and ends with all its processes."""
        self._run(node, [*_OWN_SPACE, "sh", "-c", f"hostname {node} && exec slurmd -D -N {node}"])

    def kill_node(self, node: str) -> None:
        """As when a machine loses its power: all processes of the node end at once, and SLURM is told that it is down."""
        self._kill(node)
        self.command("scontrol", "update", f"NodeName={node}", "State=down", "Reason=killed")

    def command(self, *arguments: str) -> str:
        """The output of a command of SLURM's."""
        ended = subprocess.run(
            arguments, env={**os.environ, **self.environ}, capture_output=True, text=True, timeout=UP_S
        )
        return ended.stdout if ended.returncode == 0 else ""

    def states(self) -> dict[str, str]:
        """The state of each node."""
        return dict(line.split() for line in self.command("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def jobs_on(self, node: str) -> list[str]:
        """The ids of the jobs that run on a node."""
        return self.command("squeue", "-h", "-t", "running", "-w", node, "-o", "%i").split()

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(f"-- {path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def all_idle(self) -> None:
        """Wait until all nodes are idle. Raises TimeoutError with the end of the logs."""
        try:
            wait_until(lambda: self.states() == dict.fromkeys(self.nodes, "idle"), "the nodes are not idle")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.states()}\n{self.logs()}") from error

    def clear(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        self.command("scancel", "--partition=all")
        self.all_idle()

    def stop(self) -> None:
        """End everything that was started, whatever state it is in."""
        if "slurmctld" in self._running:
            self.command("scancel", "--partition=all")
        for name in [*self._running][::-1]:
            self._kill(name)

    def _run(self, name: str, command: list[str]) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        with (self.folder / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                [*WITH_PARENT, *command],
                env={**os.environ, **self.environ, "PATH": path},
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _kill(self, name: str) -> None:
        process = self._running.pop(name)
        if name in ("munged", "slurmctld"):
            process.terminate()
            try:
                process.wait(15)
                return
            except subprocess.TimeoutExpired:
                pass
        # unshare --kill-child takes the first process of the node's namespace along, and that one all the others.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in range(16100 + os.getpid() % 2000 * 8, 60000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) and len(found) < count:
                found.append(port)
        if len(found) == count:
            break
    return found


@contextmanager
def slurm_cluster(nodes: int = 2) -> Iterator[SlurmCluster]:
    """A running cluster, which ends with the block, as does its folder. Skips the test where there can be none."""
    require_slurm()
    # Not in a folder of pytest's: the path of a socket may have 107 characters only.
    folder = Path(tempfile.mkdtemp(prefix="selbench-slurm-"))
    cluster = SlurmCluster(folder, nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
