"""What a user finds in the MLflow UI: an experiment per comparison, a parent per sweep, a readable child per run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from selbench.settings import Tracking
from selbench.store.axes import Axes
from selbench.store.records import Record, Records
from selbench.store.sweeps import Sweep
from selbench.tracking.reports import report_artifacts
from selbench.tracking.server import uri_without_password


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """MLflow takes four seconds to lay out a database: once, for all tests."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(tmp_path, empty):
    from mlflow import MlflowClient

    (tmp_path / "outputs").mkdir()
    shutil.copy(empty, tmp_path / "outputs")
    return MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")


@pytest.fixture
def tracked(settings):
    return [other for other in settings if other != "tracking=none"]


def children(client, comparison):
    experiment = client.get_experiment_by_name(comparison)
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "selbench.parent_of" in run.data.tags]
    return parent, [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def test_a_sweep_is_a_parent_with_readable_children(selbench, tracked, tmp_path, client, toy_pool):
    ran = selbench("-m", *tracked, "selector=random,longest", "budget=0.25", "comparison=mine")
    assert ran.status == 0, ran.err
    _, runs = children(client, "mine")
    assert {run.info.run_name for run in runs} == {"random 25% toy s0", "longest 25% toy s0"}
    child = next(run for run in runs if "longest" in run.info.run_name)
    assert child.info.status == "FINISHED" and child.info.end_time >= child.info.start_time > 1_700_000_000_000
    assert child.data.params["budget"] == "0.25" and child.data.params["pool.name"]
    axes = {"selbench.selector": "longest", "selbench.model": "toy", "selbench.suites": "toy_suite"}
    assert axes.items() <= child.data.tags.items()
    assert {"toy_suite/toy/accuracy", "toy_suite/mean", "cost/training/wall_s", "selection/examples"} <= set(
        child.data.metrics
    )
    # what the UI's search box and sorting do
    found = client.search_runs(
        [child.info.experiment_id],
        "tags.`selbench.selector` = 'longest' and metrics.`toy_suite/toy/accuracy` >= 0",
        order_by=["metrics.`toy_suite/mean` DESC"],
    )
    assert [run.info.run_id for run in found] == [child.info.run_id]

    sets = {item.tags[0].value: item.dataset for item in child.inputs.dataset_inputs}
    assert set(sets) == {"pool", "suite"}
    record = next(r for r in Records(tmp_path / "outputs" / "runs").all() if r.axes.selector == "longest")
    assert sets["pool"].digest == record.axes.pool_key and json.loads(sets["pool"].profile) == {"num_rows": 40}
    assert json.loads(sets["pool"].source) == {"uri": str(toy_pool)} and sets["suite"].name == "toy_suite"

    artifacts = {item.path for item in client.list_artifacts(child.info.run_id)}
    assert artifacts >= {"record.json", "selection.json", "items.parquet", "selected.json"}
    assert json.loads(child.data.tags["mlflow.loggedArtifacts"]) == [{"path": "selected.json", "type": "table"}]
    table = json.loads(Path(client.download_artifacts(child.info.run_id, "selected.json")).read_text())
    rows = [dict(zip(table["columns"], row)) for row in table["data"]]
    assert [row["id"] for row in rows] == [f"{i:04d}" for i in range(39, 29, -1)]
    assert rows[0]["rank"] == 1 and rows[0]["score"] == 40 and rows[0]["prompt"] == "Say 39"
    assert max(len(row["response"]) for row in rows) <= 200


def test_the_report_of_a_sweep_is_on_its_parent_and_replaced(selbench, tracked, tmp_path, client):
    ran = selbench("-m", *tracked, "selector=random", "seed=0,1", "comparison=mine")
    assert ran.status == 0, ran.err
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    run = SimpleRun(tmp_path / "outputs", "mine")
    page = tmp_path / "outputs" / "reports" / "page.html"
    for text in ("first", "second"):
        page.write_text(text)
        report_artifacts(Sweep(folder.parent, folder.name), run, [page])
    parent, _ = children(client, "mine")
    kept = {item.path for item in client.list_artifacts(parent.info.run_id, "report")}
    files = [
        f"{folder.name}.{suffix}" for suffix in ("csv", "html", "md", "parquet")
    ]  # which the sweep itself has sent
    assert kept == {f"report/{name}" for name in (*files, "page.html")}
    assert Path(client.download_artifacts(parent.info.run_id, "report/page.html")).read_text() == "second"


class SimpleRun:
    """What tracking reads of a run."""

    def __init__(self, outputs: Path, comparison: str, uri: str | None = None) -> None:
        self.output_dir, self.comparison, self.tracking = outputs, comparison, Tracking(uri=uri)


def test_a_server_that_is_away_costs_a_warning_only(selbench, tracked):
    ran = selbench(*tracked, "tracking.uri=http://name:secret@127.0.0.1:9")
    assert ran.status == 0
    assert "The record is complete without it" in ran.err and "selbench sync" in ran.err
    assert "secret" not in ran.err


def test_a_password_is_not_shown():
    assert uri_without_password("https://me:word@host:5000/x@y") == "https://host:5000/x@y"
    assert uri_without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


SENDER = """
import sys
from pathlib import Path
from selbench.store.records import Records
from selbench.tracking.mirror import send_record
from selbench.tracking.server import Server

outputs = Path(sys.argv[1])
for record in Records(outputs / "runs").all():
    send_record(record, outputs / "runs" / record.key, Server(f"sqlite:///{outputs}/mlflow.db", outputs), "s")
"""


def test_processes_that_begin_a_file_at_once_make_one_parent_and_one_run_each(tmp_path):
    axes = {"selector": "random", "budget": 0.1, "budget_unit": "examples", "model": "toy", "seed": 0, "pool": "p"}
    for key in ("k0", "k1"):
        record = Record(
            key, "skipped", Axes.read({**axes, "pool_key": "0"}), {"pool": {}}, sweep="s", created="2026-01-01"
        )
        Records(tmp_path / "runs").write(record)
    senders = [subprocess.Popen([sys.executable, "-c", SENDER, str(tmp_path)]) for _ in range(2)]
    assert [sender.wait(60) for sender in senders] == [0, 0]
    from mlflow import MlflowClient

    _, runs = children(MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), "default")
    assert sorted(run.data.tags["selbench.key"] for run in runs) == ["k0", "k1"]


def test_a_large_selection_is_a_parquet_table_and_a_short_one_to_look_at(tmp_path, monkeypatch):
    from selbench.tracking import table

    monkeypatch.setattr(table, "ROWS", 3)
    (tmp_path / "selection.json").write_text(json.dumps({"ids": list("abcde"), "scores": None}))
    record = Record("k", "finished", Axes(pool_key="0"), {"pool": {}})
    written = table.write_tables(record, tmp_path, tmp_path)
    assert [path.name for path in written] == ["selected.json", "selected.parquet"]
    assert len(json.loads(written[0].read_text())["data"]) == 3
    assert pd.read_parquet(written[1])["id"].tolist() == list("abcde")
