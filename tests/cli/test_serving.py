"""From the command line: vLLM that is not there, and models behind an endpoint, before and while cells run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import toy_runs
from helpers.choosing_tasks import write_tasks
from helpers.openai_server import openai_server
from helpers.tiny_models import make_model
from selbench_plugins.suites import _vllm

VERBS = pytest.mark.parametrize("verb", [[], ["-m"], ["plan"], ["plan", "-m"]], ids=" ".join)
RUNS = pytest.mark.parametrize("verb", [[], ["-m"]], ids=" ".join)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def base(tmp_path: Path, toy_pool: Path) -> list[str]:
    tasks = write_tasks(tmp_path / "tasks")
    suite = ["suite=[lm_eval]", f"suite.lm_eval.include_path={tasks}"]
    pool = [
        f"plugin_path={toy_runs.TOYS}",
        "pool=file",
        f"pool.path={toy_pool}",
        "trainer=toy_trainer",
        "tracking=none",
    ]
    return [*pool, *suite, f"output_dir={tmp_path / 'outputs'}"]


@pytest.fixture
def server(tiny, monkeypatch):
    pytest.importorskip("tenacity", reason="lm-eval's client needs it: pip install selbench[endpoint]")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with openai_server(tiny) as found:
        yield found


def endpoint(server, tiny, **changes: Any) -> list[str]:
    options = {"url": server.url, "name": "tiny", "path": tiny.path, **changes}
    return ["model=endpoint", *(f"model.{name}={value}" for name, value in options.items())]


def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (tmp_path / "outputs" / "runs").glob("*/record.json")]


def no_cells(tmp_path: Path) -> bool:
    return not [*(tmp_path / "outputs").glob("runs/*"), *(tmp_path / "outputs").glob("store/evaluation/*")]


@RUNS
def test_without_vllm_no_cell_starts(selbench, base, tmp_path, monkeypatch, verb):
    monkeypatch.setattr(_vllm, "absent_modules", lambda names: [*names])
    asked = [*base, "model=planted-1m", "selector=base", "suite.lm_eval.backend=vllm"]
    refused = selbench(*verb, *asked)
    assert refused.status == 2 and "Traceback" not in refused.err and no_cells(tmp_path)
    assert (
        'backend=vllm needs the Python module vllm, which is not installed: pip install "selbench[vllm]"' in refused.err
    )
    planned = selbench("plan", *verb, *asked)
    assert "suite lm_eval: backend=vllm needs the Python module vllm" in planned.out, planned.err


@VERBS
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["suite.lm_eval.backend=vlm"], "unknown value 'vlm'. Did you mean 'vllm'? Valid: hf, vllm."),
        (["suite.lm_eval.backend=vllm", "suite.lm_eval.backend_options.dtype=auto"], "said by model.dtype"),
    ],
)
def test_a_wrong_backend_is_refused(selbench, base, tmp_path, verb, options, said):
    refused = selbench(*verb, *base, "model=planted-1m", "selector=base", *options)
    assert refused.status == 2 and said in refused.err and no_cells(tmp_path)


def test_a_model_behind_an_endpoint_is_an_arm(selbench, base, tmp_path, server, tiny):
    (tmp_path / "core.txt").write_text("0007\n0003\n")
    server.also = ["tiny tuned"]
    given = [
        "selector=given",
        f"selector.given.ids={tmp_path / 'core.txt'}",
        "selector.given.served='tiny tuned'",
        "budget=2",
    ]
    planned = selbench("plan", *base, *endpoint(server, tiny), "selector=base")
    assert planned.status == 0, planned.err
    for arm in (["selector=base"], given):
        ran = selbench(*base, *endpoint(server, tiny, revision="r1"), *arm)
        assert ran.status == 0, ran.err
    found = {record["axes"]["selector"]: record for record in records(tmp_path)}
    assert found.keys() == {"base", "given core, trained elsewhere"}
    assert all(record["status"] == "finished" and record["axes"]["model"] == "tiny" for record in found.values())
    assert {sent["model"] for path, sent, _ in server.asked if sent} == {"tiny", "tiny tuned"}
    # The same model here has the same scores.
    local = ["model=local", f"model.path={tiny.path}", "model.name=here", "selector=base"]
    assert selbench(*base, *local).status == 0
    here = next(record for record in records(tmp_path) if record["axes"]["model"] == "here")
    assert [(row["task"], row["value"]) for row in here["scores"]] == [
        (row["task"], row["value"]) for row in found["base"]["scores"]
    ]


def test_the_address_is_no_part_of_the_key_and_the_name_and_revision_are(selbench, base, tmp_path, server, tiny):
    arm = [*base, "selector=base"]
    assert selbench(*arm, *endpoint(server, tiny)).status == 0
    with openai_server(tiny) as moved:
        again = selbench(*arm, *endpoint(moved, tiny))
        assert again.status == 0 and not [sent for _, sent, _ in moved.asked if sent]
        assert selbench(*arm, *endpoint(moved, tiny, revision="2")).status == 0
        assert [sent for _, sent, _ in moved.asked if sent]
    assert len(records(tmp_path)) == 2


def test_a_chat_without_a_tokenizer(selbench, base, tmp_path, server, tiny):
    chat = [*endpoint(server, tiny, path="", chat="true"), "suite.lm_eval.apply_chat_template=true"]
    refused = selbench(*base, *chat, "selector=base")
    assert refused.status == 2 and "task 'pick' asks how likely given answers are" in refused.err
    ran = selbench(*base, *chat, "selector=base", "suite.lm_eval.tasks=[write]")
    assert ran.status == 0, ran.err
    (record,) = records(tmp_path)
    assert "tokens" not in record["stages"] and [row["task"] for row in record["scores"]] == ["write"]


@VERBS
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["selector=random", "budget=4"], "it can be evaluated, but not fine-tuned. Valid: selector=base"),
        (["selector=full"], "it can be evaluated, but not fine-tuned"),
        (["selector=given", "selector.given.ids=IDS", "budget=2"], "it can be evaluated, but not fine-tuned"),
        (
            ["selector=given", "selector.given.ids=IDS", "selector.given.tuned=x", "budget=2"],
            "selector.given.served=NAME",
        ),
        (
            ["selector=base", "suite=[lm_eval,response_loss]", "suite.response_loss.sets.a=IDS"],
            "take a suite of lm-eval's",
        ),
        (
            ["selector=base", "suite=[toy_suite]"],
            "suite 'toy_suite' (toy_suite) reads more of a model than an endpoint shows",
        ),
        (["selector=base", "model.name=tinyer"], "unknown model (set by model.name) 'tinyer'"),
        (
            ["selector=base", "model.url=localhost:8000"],
            "is not the address of a server: write it as http://localhost:8000/v1",
        ),
        (
            ["selector=base", "model.url="],
            "model.url= is not the address of a server: write it as http://localhost:8000/v1",
        ),
        (["selector=base", "model.name="], "model.name is empty: it is the name under which"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_an_endpoint_is_not_good_for_is_refused(selbench, base, tmp_path, server, tiny, verb, options, said):
    ids = tmp_path / "ids.jsonl"
    ids.write_text(
        '{"id": "0007", "instruction": "a", "output": "b"}\n{"id": "0003", "instruction": "c", "output": "d"}\n'
    )
    kept = [one for one in base if not (one.startswith("suite") and any("suite=" in each for each in options))]
    more = [f"suite.lm_eval.include_path={tmp_path / 'tasks'}"] if any("lm_eval," in each for each in options) else []
    asked = [*kept, *more, *endpoint(server, tiny), *(each.replace("IDS", str(ids)) for each in options)]
    refused = selbench(*verb, *asked)
    assert refused.status == 2 and said in refused.err, refused.err + refused.out
    assert "Traceback" not in refused.err and no_cells(tmp_path)
    assert not [sent for _, sent, _ in server.asked if sent]


def test_an_endpoint_is_no_scorer(selbench, base, tmp_path, server, tiny):
    scorer = ["scorer=endpoint", f"scorer.url={server.url}", "scorer.name=tiny", f"scorer.path={tiny.path}"]
    refused = selbench(*base, "model=planted-1m", *scorer, "selector=mads", "budget=4")
    assert refused.status == 2 and "scorer 'tiny' is behind an endpoint" in refused.err and no_cells(tmp_path)


@RUNS
def test_a_server_that_is_not_there(selbench, base, tmp_path, server, tiny, verb):
    server.close()
    asked = [*base, *endpoint(server, tiny), "selector=base"]
    refused = selbench(*verb, *asked)
    assert refused.status == 2 and no_cells(tmp_path)
    assert f"the server at {server.url} cannot be reached: Connection refused" in refused.err
    planned = selbench("plan", *verb, *asked)
    assert f"the server at {server.url} cannot be reached" in planned.out, planned.err


@VERBS
@pytest.mark.parametrize("address", ["http://me:hunter2@localhost:9/v1", "http://localhost:9/v1?key=hunter2"])
def test_an_address_with_a_key_in_it_is_refused_and_kept_nowhere(selbench, base, tmp_path, server, tiny, verb, address):
    refused = selbench(*verb, *base, *endpoint(server, tiny, url=f"'{address}'"), "selector=base")
    assert refused.status == 2 and "OPENAI_API_KEY" in refused.err and "hunter2" not in refused.err + refused.out
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_the_key_is_written_nowhere(selbench, base, tmp_path, server, tiny, monkeypatch):
    server.key = "sk-hunter2"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    asked = [one for one in base if one != "tracking=none"]
    ran = selbench(*asked, *endpoint(server, tiny), "selector=base")
    assert ran.status == 0, ran.err
    assert (tmp_path / "outputs").is_dir() and "hunter2" not in ran.out + ran.err
    kept = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]
    assert any("mlflow" in path.name for path in kept) and not [
        path for path in kept if b"hunter2" in path.read_bytes()
    ]
