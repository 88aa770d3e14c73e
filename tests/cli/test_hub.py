"""A run of what is on the hub, by the command line: planned, carried out, shown, run again at its commits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import toy_runs
from helpers.hub_server import HubServer, gone

from selbench.data import commits
from selbench.store.outputs import Outputs


def rows(count: int) -> bytes:
    """Rows as of toy_pool, so that the toy suite has its items among them."""
    words = [" ".join(["word"] * (number + 1)) for number in range(count)]
    lines = [json.dumps({"id": f"{i:04d}", "instruction": f"Say {i}", "output": text}) for i, text in enumerate(words)]
    return "".join(line + "\n" for line in lines).encode()


@pytest.fixture
def settings(server: HubServer, tmp_path: Path) -> list[str]:
    folder = toy_runs.toy_model(tmp_path / "model")
    server.push("org/tiny", {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    server.push("org/data", {"train.jsonl": rows(40)}, "dataset")
    plain = toy_runs.toy_settings(folder, tmp_path / "none.jsonl", tmp_path / "outputs")
    own = [text for text in plain if not text.startswith(("pool", "model"))]
    return [*own, "pool=hub", "pool.hub=org/data", "model=local", "model.path=org/tiny", "selector=random", "budget=5"]


def records(tmp_path: Path) -> dict[str, dict[str, str | None]]:
    """Key -> part -> commit, of all records."""
    return {
        record.key: {one.part: one.commit for one in record.hub}
        for record in Outputs(tmp_path / "outputs").records.all()
    }


def test_a_run_of_the_hub_is_of_its_commits(selbench, settings, server, tmp_path, monkeypatch):
    at = {kind: found[-1][0] for (kind, _), found in server.commits.items()}
    assert selbench(*settings).status == 0
    (key,) = records(tmp_path)
    assert records(tmp_path)[key] == {"pool": at["dataset"], "model": at["model"]}
    shown = selbench("show", key, "--outputs", str(tmp_path / "outputs")).out
    assert f"pool: dataset org/data {at['dataset']}" in shown and f"model: model org/tiny {at['model']}" in shown

    file = tmp_path / "outputs" / "runs" / key / "record.json"
    whole = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in whole.items() if name != "hub"}))
    assert "hub " not in selbench("show", key, "--outputs", str(tmp_path / "outputs")).out, "a record from before"
    file.write_text(json.dumps(whole))

    commits.forget_commits()  # as in another process
    assert "already done" in selbench(*settings).err

    known = server.commits["model", "org/tiny"][0][1]
    new = server.push("org/tiny", {**known, "README.md": b"a word more"})
    data = server.push("org/data", {"train.jsonl": rows(39)}, "dataset")
    commits.forget_commits()  # as in another process
    assert "1 to run" in selbench("plan", *settings).out
    assert selbench(*settings).status == 0
    (other,) = set(records(tmp_path)) - {key}
    assert records(tmp_path)[other] == {"pool": data, "model": new}
    board = selbench("leaderboard", "--outputs", str(tmp_path / "outputs")).out
    assert board.count("pool data #") == 2, "two commits of a pool are two tables"

    commits.forget_commits()  # as in another process
    again = selbench("rerun", key, "--outputs", str(tmp_path / "outputs"))
    assert again.status == 0 and "identical: 5 ids" in again.out, again
    assert "changed" not in again.err, "it is the record's own commits that are run again"

    gone(monkeypatch)
    offline = selbench(*settings)
    assert "already done" in offline.err and "taken from the local cache" in offline.err


def test_the_cells_of_a_grid_take_the_commits_of_its_sweep(selbench, settings, server, tmp_path):
    ended = selbench("-m", *settings, "seed=0,1")
    assert ended.status == 0, ended.err
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    told = json.loads((sweep / "sweep.json").read_text())["hub"]
    assert {(row["kind"], row["name"], row["commit"]) for row in told} == {
        (kind, name, found[-1][0]) for (kind, name), found in server.commits.items()
    }
    from selbench.cli.cells import run_cell
    from selbench.config.runs import composed_run

    known = set(records(tmp_path))
    server.push("org/tiny", {"config.json": b"{}"})
    commits.forget_commits()  # as a worker, which starts after the push
    assert run_cell(composed_run([*settings, "seed=0", f"sweep={sweep.name}"]), 0)
    assert set(records(tmp_path)) == known


def test_what_is_unknown_is_planned_with_a_word_and_not_run(selbench, settings, tmp_path, monkeypatch):
    pool = toy_runs.toy_pool(tmp_path)
    local = [text for text in settings if not text.startswith("pool")] + ["pool=file", f"pool.path={pool}"]
    gone(monkeypatch)
    planned = selbench("plan", *local)
    assert planned.status == 0
    assert "Needed before a run, and not on this machine:\n  model tiny: model org/tiny\n" in planned.out
    refused = selbench(*local)
    assert refused.status == 2 and "model.path=/path/to/folder" in refused.err and "127.0.0.1:9" in refused.err
    assert "Traceback" not in refused.err and not (tmp_path / "outputs" / "runs").exists()
    unread = selbench("plan", *settings)
    assert unread.status == 2 and "the hub (http://127.0.0.1:9) cannot be reached" in unread.err


def test_a_plan_of_local_things_asks_no_hub(selbench, server, tmp_path):
    model, pool = toy_runs.toy_model(tmp_path / "model"), toy_runs.toy_pool(tmp_path)
    assert selbench("plan", *toy_runs.toy_settings(model, pool, tmp_path / "outputs"), "selector=random").status == 0
    assert server.asked == []


def test_an_encoder_that_has_moved_is_not_averaged_with_what_it_was(selbench, settings, server, tmp_path):
    """Its arm keeps its name, so the board leaves the older commit out and says so, as for older code."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "by_encoder.py").write_text(ENCODER_USER)
    pool = toy_runs.toy_pool(tmp_path)
    local = [text for text in settings if not text.startswith(("pool", "model", "selector", "plugin_path"))]
    local += [f"plugin_path=[{toy_runs.TOYS},{tmp_path / 'plugins'}]", "pool=file", f"pool.path={pool}", "model=local"]
    local += [
        f"model.path={toy_runs.toy_model(tmp_path / 'own')}",
        "selector=by_encoder",
        "selector.encoder=org/encoder",
    ]
    server.push("org/encoder", {"config.json": b"{}"})
    assert selbench(*local, "seed=0").status == 0
    server.push("org/encoder", {"config.json": b'{"a": 1}'})
    commits.forget_commits()
    assert selbench(*local, "seed=1").status == 0
    assert len({commit for of in records(tmp_path).values() for commit in of.values()}) == 2
    board = selbench("leaderboard", "--outputs", str(tmp_path / "outputs"))
    assert "1 run by older code or at another commit on the hub is left out" in board.out + board.err


ENCODER_USER = '''
from selbench.api import Selection, selector
from selbench.data.commits import commit_of


@selector("by_encoder", nested=False)
class ByEncoder:
    """Selects the first examples, whatever its encoder says."""

    encoder: str = "org/encoder"

    def identity(self):
        return {"encoder": [self.encoder, commit_of("model", self.encoder)]}

    def select(self, pool, budget, context):
        return Selection.ordered(range(len(pool)), budget)
'''
