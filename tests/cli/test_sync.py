"""`selbench sync` and records read back, against a real MLflow server: down, up, interrupted, and asked again."""

from __future__ import annotations

import dataclasses
import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from helpers.mlflow_server import MlflowServer

from selbench.cli.sync import main
from selbench.errors import UserError
from selbench.store.axes import Axes
from selbench.store.facts import ScoreRow
from selbench.store.files import write_json
from selbench.store.records import Record, Records
from selbench.store.sweeps import Sweep
from selbench.tracking import sync as syncing
from selbench.tracking.download import records_from_server
from selbench.tracking.marks import MARKS

AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URI of an `mlflow server` of its own, over SQLite, that hands out artifacts itself."""
    folder = tmp_path_factory.mktemp("server")
    running = MlflowServer(folder, f"sqlite:///{folder}/server.db")
    try:
        running.start()
        yield running.uri
    finally:
        running.kill()


def write(outputs: Path, key: str, seed: int, sweep: str | None, comparison: str, uri: str | None = AWAY) -> Record:
    axes = {"selector": "random", "budget": 0.5, "budget_unit": "examples", "model": "toy", "seed": seed, "pool": "p"}
    axes |= {"pool_key": "0" * 20, "suites": ["quiz"], "suite_keys": {"quiz": "abc"}}
    row = {"suite": "quiz", "task": "sums", "metric": "accuracy", "value": 0.5, "higher_is_better": True}
    record = Record(
        key,
        "finished",
        Axes.read(axes),
        {"pool": {"path": "/nowhere.jsonl"}, "tracking": {"enabled": True, "uri": uri}},
        comparison=comparison,
        sweep=sweep,
        created=f"2026-01-01T00:00:0{seed}.000+00:00",
        scores=[ScoreRow(**row, items=2)],
    )
    folder = outputs / "runs" / key
    Records(outputs / "runs").write(record)
    write_json(folder / "selection.json", {"ids": ["a", "b"], "scores": None})
    items = [("quiz", "sums", "accuracy", f"q{i}", float(i)) for i in range(2)]
    pd.DataFrame(items, columns=["suite", "task", "metric", "item", "value"]).to_parquet(folder / "items.parquet")
    return record


@pytest.fixture
def outputs(tmp_path, request) -> Path:
    """A sweep of two runs with a report, and a run on its own, all of which an absent server has missed."""
    comparison = request.node.name
    records = [write(tmp_path, f"k{seed}", seed, "s1" if seed < 2 else None, comparison) for seed in range(3)]
    sweep = Sweep(tmp_path / "sweeps", "s1")
    sweep.start("selbench -m seed=0,1", comparison, [{}, {}])
    for cell, record in enumerate(records[:2]):
        sweep.done(cell, record.key, "finished", reused=False)
    (tmp_path / "page.html").write_text("report")
    write_json(sweep.folder / "report.json", {"files": [str(tmp_path / "page.html")]})
    return tmp_path


def state(uri: str, comparison: str):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(comparison)
    return client, client.search_runs([experiment.experiment_id]) if experiment else []


def test_a_server_that_is_away_is_told_of_and_nothing_is_marked(outputs):
    with pytest.raises(UserError, match=r"does not take what it should.*0 runs were sent"):
        main(["--outputs", str(outputs)])
    assert not list(outputs.rglob(MARKS))


def test_everything_is_sent_once(outputs, server, capfd, request):
    said = [main(["--outputs", str(outputs), "--tracking-uri", server]) or capfd.readouterr().out for _ in range(2)]
    assert said[0] == f"{server}: 3 runs sent, 1 reports, 0 were there already.\n"
    assert said[1] == f"{server}: 0 runs sent, 3 were there already.\n"
    for path in outputs.rglob(MARKS):  # marks lost, as after copying records about: the server is asked
        path.unlink()
    main(["--outputs", str(outputs), "--tracking-uri", server])
    client, runs = state(server, request.node.name)
    assert len(runs) == 4
    (parent,) = [run for run in runs if "selbench.parent_of" in run.data.tags]
    assert parent.info.run_name == "sweep s1" and parent.data.tags["selbench.command"] == "selbench -m seed=0,1"
    assert [item.path for item in client.list_artifacts(parent.info.run_id, "report")] == ["report/page.html"]
    below = [run.data.tags.get("mlflow.parentRunId") for run in runs if "selbench.key" in run.data.tags]
    assert sorted(below, key=str) == sorted([parent.info.run_id, parent.info.run_id, None], key=str)
    assert {run.data.metrics["quiz/sums/accuracy"] for run in runs if run is not parent} == {0.5}


def test_another_server_and_a_run_made_anew_are_sent_too(outputs, server, request):
    other = server.replace("127.0.0.1", "localhost")  # by its address another server, and so asked
    assert [syncing.sync(outputs, uri)[0].sent for uri in (other, server)] == [3, 3]
    again = dataclasses.replace(Records(outputs / "runs").read("k2"), created="2026-02-02", status="failed", reason="x")
    Records(outputs / "runs").write(again)
    assert [done.sent for done in syncing.sync(outputs, server)] == [1]
    _, runs = state(server, request.node.name)
    (run,) = [run for run in runs if run.data.tags.get("selbench.key") == "k2"]
    assert run.info.status == "FAILED" and run.data.tags["selbench.reason"] == "x"
    assert len(runs) == 4


def test_a_send_that_broke_off_is_gone_on_with(outputs, server, monkeypatch, request):
    from selbench.tracking import mirror

    monkeypatch.setattr(mirror, "dataset_inputs", lambda record: 1 / 0)
    with pytest.raises(UserError, match="division by zero"):
        syncing.sync(outputs, server)
    monkeypatch.undo()
    syncing.sync(outputs, server)
    _, runs = state(server, request.node.name)
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}


class AnswerLost(ThreadingHTTPServer):
    """Stands before a server and passes everything on, but the answers that are lost: path -> which of its requests, from 0."""

    def __init__(self, uri: str, lost: dict[str, set[int]]) -> None:
        self.asked: Counter[str] = Counter()
        asked = self.asked
        port = int(uri.rpartition(":")[2])

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                line.request(self.command, self.path, body, headers)
                answer = line.getresponse()
                content = answer.read()
                end = "/".join(self.path.rsplit("/", 2)[-2:])
                asked[end] += 1
                if asked[end] - 1 in lost.get(end, ()):
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_an_answer_that_was_lost_leaves_no_second_run(outputs, server, request):
    """MLflow's client asks again when an answer is lost, and the server then has made two runs of one."""
    # The sweep's run is asked for first, and made twice; then that of its first cell.
    between = AnswerLost(server, {"experiments/create": {0}, "runs/create": {0, 2}})
    try:
        syncing.sync(outputs, f"http://127.0.0.1:{between.server_port}")
    finally:
        between.shutdown()
        between.server_close()
    assert between.asked["runs/create"] == 6 and between.asked["experiments/create"] == 2
    _, runs = state(server, request.node.name)
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}


def test_records_come_back_from_a_server_as_they_were(outputs, server, tmp_path, request):
    syncing.sync(outputs, server)
    found, folder = records_from_server(server, request.node.name, folder=tmp_path / "fetched")
    kept = Records(outputs / "runs").all()
    assert found == kept
    for record in kept:
        for name in ("items.parquet", "selection.json"):
            assert (folder / "runs" / record.key / name).read_bytes() == (
                outputs / "runs" / record.key / name
            ).read_bytes()
    (folder / "runs" / "k0" / "items.parquet").write_text("not fetched again")
    for sweep in ("s1", "latest"):
        found, _ = records_from_server(server, request.node.name, sweep, folder)
        assert [record.key for record in found] == ["k0", "k1"]
    assert (folder / "runs" / "k0" / "items.parquet").read_text() == "not fetched again"


def test_a_file_that_does_not_arrive_is_an_error_and_not_a_thinner_record(outputs, tmp_path, request, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/kept.db"
    syncing.sync(outputs, uri)

    def broken(self, run_id, path, dst_path=None):
        raise OSError(f"the connection was lost at {path}")

    monkeypatch.setattr(MlflowClient, "download_artifacts", broken)
    with pytest.raises(UserError, match=r"could not be read to the end: the connection was lost at selection\.json"):
        records_from_server(uri, request.node.name, folder=tmp_path / "fetched")


def test_mistakes_are_said_in_a_sentence(outputs, server, tmp_path):
    with pytest.raises(UserError, match="unknown comparison 'nope'"):
        records_from_server(server, "nope")
    syncing.sync(outputs, server)
    with pytest.raises(UserError, match=r"unknown sweep 's2'\. Valid: s1\."):
        records_from_server(server, sweep="s2")
    with pytest.raises(UserError, match=r"no MLflow server at http://127\.0\.0\.1:9 that answers"):
        records_from_server(AWAY)
    with pytest.raises(UserError, match="unknown comparison 'nope'"):
        main(["--outputs", str(outputs), "--comparison", "nope"])
    with pytest.raises(UserError, match="no record under"):
        main(["--outputs", str(tmp_path / "empty")])
    write(tmp_path / "quiet", "k", 0, None, "c", uri=None)
    record = Records(tmp_path / "quiet" / "runs").read("k")
    record.config["tracking"]["enabled"] = False
    Records(tmp_path / "quiet" / "runs").write(record)
    with pytest.raises(UserError, match="tracking=none"):
        main(["--outputs", str(tmp_path / "quiet")])
