"""An `mlflow server` of the test's own, on loopback, which hands out artifacts itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from helpers.postgres import free_port


class MlflowServer:
    """A server over one database, always at the same address: it can be killed and started again."""

    def __init__(self, folder: Path, backend: str, *, workers: int = 1) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--workers", str(workers), "--backend-store-uri", backend, "--serve-artifacts"]
        self._command += ["--artifacts-destination", str(folder / "kept")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers, which on a busy machine can take minutes."""
        lean = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }  # no process for jobs, which there are none of
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=lean, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 300
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
                return
            except OSError:
                assert self._process.poll() is None, self.log
                time.sleep(0.25)
        raise AssertionError(self.log)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")
