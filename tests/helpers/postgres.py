"""PostgreSQL from Debian's package, on loopback, in a folder that is deleted afterwards."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER = "postgres"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path:
    """The folder of initdb and pg_ctl; Debian's package is installed where that can be done, else the test is skipped."""
    if not (found := _programs()):
        if os.geteuid() or not shutil.which("apt-get"):
            pytest.skip("PostgreSQL is not installed, and without root and apt-get the test cannot install it")
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], install):
            ran = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=600)
        if ran.returncode or not (found := _programs()):
            pytest.skip(f"PostgreSQL could not be installed: {(ran.stderr or ran.stdout).strip()[-300:]}")
    return found


def _programs() -> Path | None:
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        Path(shutil.which("initdb") or "/").parent,
    ]
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def postgres() -> Iterator[str]:
    """The URI, for SQLAlchemy with psycopg2, of an empty database."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: pip install 'selbench[dev]'")
    programs = postgres_programs()
    # Not below pytest's folders, which another user may not enter; the server refuses to run as root.
    folder, port, word = Path(tempfile.mkdtemp(prefix="selbench-postgres-")), free_port(), secrets.token_hex(8)
    (folder / "word").write_text(word)
    other: dict[str, Any] = (
        {} if os.geteuid() else {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []}
    )
    if other:
        for path in (folder, folder / "word"):
            shutil.chown(path, USER)

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        ran = subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300, **other
        )
        assert ran.returncode == 0, ran.stderr.decode() + "".join(file.read_text() for file in folder.glob("log"))

    data = str(folder / "data")
    try:
        call("initdb", "-D", data, "-U", USER, "-N", "-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={folder}/word")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        call("pg_ctl", "-D", data, "-w", "-t", "240", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql+psycopg2://{USER}:{word}@127.0.0.1:{port}/postgres"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
