"""An MLflow server over PostgreSQL with proxied artifacts: sixteen processes send at once while it is killed and started."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from helpers.finished_work import make_run, make_sweep
from helpers.mlflow_server import MlflowServer
from helpers.postgres import postgres

from selbench.cli.sync import main
from selbench.store.files import checksums
from selbench.store.outputs import Outputs
from selbench.store.records import ITEMS, RECORD, SELECTION
from selbench.tracking.content import mlflow_metrics, mlflow_params, mlflow_tags
from selbench.tracking.download import records_from_server

PROCESSES, EACH = 16, 4
SWEEPS = ("20260101-1", "20260101-2")

# As a run does at its end: what cannot be sent costs a warning.
SENDER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from selbench.settings import Tracking
from selbench.store.outputs import Outputs
from selbench.tracking.mirror import mirror_record

outputs, uri, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
import mlflow
(outputs / f"ready-{first}").touch()
while not (outputs / "go").exists():
    time.sleep(0.02)
records = Outputs(outputs).records
for number in range(first, first + count):
    while number == first + count - 1 and not (outputs / "back").exists():  # the last one goes to the server's second life
        time.sleep(0.02)
    record = records.read(f"{number:020d}")
    run = SimpleNamespace(output_dir=outputs, sweep=record.sweep, tracking=Tracking(uri=uri))
    mirror_record(record, records.folder(record.key), run, reused=False)
"""


@pytest.mark.slow
@pytest.mark.long
def test_nothing_is_lost_when_the_server_is_restarted_under_sixteen_senders(tmp_path, capfd):
    outputs, folder = tmp_path / "outputs", tmp_path / "server"
    folder.mkdir()
    total = PROCESSES * EACH
    records = [make_run(outputs, number, sweep=SWEEPS[number % 2]) for number in range(total)]
    for record in records:  # real tables, which MLflow's pages and boards read
        items = outputs / "runs" / record.key / ITEMS
        pd.DataFrame({"item": ["a", "b"], "value": [0.0, float(record.axes.seed or 0)]}).to_parquet(items)
        record.files = {name: about for name, about in checksums(items.parent).items() if name in (SELECTION, ITEMS)}
        record.config = {"budget": 0.5, "pool": {"path": "/nowhere.jsonl", "seed": record.axes.seed}}
        Outputs(outputs).records.write(record)
    for place, sweep in enumerate(SWEEPS):
        make_sweep(outputs, sweep, records[place::2])
    with postgres() as database:
        server = MlflowServer(folder, database, workers=2)
        try:
            server.start()
            senders = [
                subprocess.Popen([sys.executable, "-c", SENDER, str(outputs), server.uri, str(first), str(EACH)])
                for first in range(0, total, EACH)
            ]
            until = time.monotonic() + 400
            while len(list(outputs.glob("ready-*"))) < PROCESSES:
                assert time.monotonic() < until and not any(sender.poll() for sender in senders)
                time.sleep(0.1)
            begun = time.monotonic()
            (outputs / "go").touch()
            while len(list((outputs / "runs").glob("*/mlflow.json"))) < total // 4:
                assert time.monotonic() < begun + 400, server.log[-3000:]
                time.sleep(0.02)
            server.kill()
            sent_before = len(list((outputs / "runs").glob("*/mlflow.json")))
            time.sleep(1)
            server.start()
            (outputs / "back").touch()
            assert [sender.wait(600) for sender in senders] == [0] * PROCESSES
            missed = total - len(list((outputs / "runs").glob("*/mlflow.json")))
            took = time.monotonic() - begun
            assert sent_before <= total - PROCESSES and missed > 0, "the server was not killed in the middle"
            last = [outputs / "runs" / f"{first + EACH - 1:020d}" / "mlflow.json" for first in range(0, total, EACH)]
            assert all(file.exists() for file in last), "what was sent after the restart did not arrive"
            with capfd.disabled():
                print(
                    f"\n{sent_before} of {total} marked as sent before the kill, {missed} missed, {took:.0f} s", end=""
                )
            capfd.readouterr()
            begun = time.monotonic()
            assert main(["--outputs", str(outputs), "--tracking-uri", server.uri]) == 0
            assert f"{missed} runs sent, {total - missed} were there already" in capfd.readouterr().out
            with capfd.disabled():
                print(f"; `selbench sync` took {time.monotonic() - begun:.0f} s")
            check_all(server, outputs, tmp_path / "fetched", total)
        finally:
            server.kill()


def check_all(server: MlflowServer, outputs: Path, fetched: Path, total: int) -> None:
    """One MLflow run for each record and sweep, whole, with the same content as on disk."""
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("mine")
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    parents = {run.data.tags["selbench.parent_of"]: run for run in runs if "selbench.parent_of" in run.data.tags}
    children = [run for run in runs if "selbench.key" in run.data.tags]
    assert len(runs) == total + len(SWEEPS) and set(parents) == set(SWEEPS)
    by_key = {run.data.tags["selbench.key"]: run for run in children}
    assert max(Counter(run.data.tags["selbench.key"] for run in children).values()) == 1 and len(by_key) == total
    for record in Outputs(outputs).records.all():
        run = by_key[record.key]
        assert mlflow_tags(record).items() <= run.data.tags.items()
        assert run.data.tags["mlflow.parentRunId"] == parents[record.sweep].info.run_id
        assert run.data.params == mlflow_params(record) and run.data.metrics == mlflow_metrics(record)
        assert len(run.inputs.dataset_inputs) == 2
    found, there = records_from_server(server.uri, "mine", folder=fetched)
    assert found == Outputs(outputs).records.all()
    for record in found:
        for name in (RECORD, SELECTION, ITEMS):
            sent = outputs / "runs" / record.key / name
            assert (there / "runs" / record.key / name).read_bytes() == sent.read_bytes()
