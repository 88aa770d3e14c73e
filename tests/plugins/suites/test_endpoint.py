"""Models behind a server: lm-eval's own client gives the scores that hf gives, item by item, or says what is wrong."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from helpers.choosing_tasks import expect_answers, write_tasks
from helpers.openai_server import OpenAIServer, openai_server
from helpers.tiny_models import make_model
from selbench_plugins.suites import _endpoint
from selbench_plugins.suites.lm_eval import LmEval

from selbench.api import Context, ModelRef, NotAtHand, Score, UserError
from selbench.models import fingerprint

pytest.importorskip("tenacity", reason="lm-eval's client needs it: pip install selbench[endpoint]")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> ModelRef:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def server(tiny, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with openai_server(tiny) as found:
        yield found


@pytest.fixture
def served(tiny, server) -> ModelRef:
    return ModelRef(name="tiny", path=tiny.path, url=server.url)


@pytest.fixture
def tasks(tmp_path, tiny, server) -> Path:
    """The tasks, some of whose right answers are what the model writes."""
    folder = tmp_path / "tasks"
    write_tasks(folder)
    written, write = [], OpenAIServer._written
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenAIServer, "_written", lambda *words: written.append(write(*words)) or written[-1])
        LmEval(include_path=str(folder), tasks=["write"]).evaluate(
            ModelRef(name="tiny", path=tiny.path, url=server.url), Context(scratch=tmp_path / "first")
        )
    prompts = [tuple(sent["prompt"][0]) for path, sent, _ in server.asked if path == "/v1/completions"]
    by_prompt = dict(zip(prompts, written))
    from helpers.choosing_tasks import ROWS

    expect_answers(folder, [by_prompt[tuple(server.tokenizer.encode(row["question"]))] for row in ROWS])
    server.asked.clear()
    return folder


def scores(folder: Path, model: ModelRef, **options) -> list[Score]:
    found = LmEval(include_path=str(folder), **options).evaluate(model, Context())
    return sorted(found, key=lambda score: (score.task, score.metric))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"apply_chat_template": True},
        {"num_fewshot": 2},
        {"batch_size": 3},
        {"add_bos_token": True},
        {"add_bos_token": False},
        {"backend_options": {"num_concurrent": 3}},
    ],
    ids=str,
)
def test_scores_are_those_of_hf(tasks, tiny, served, options):
    here = {name: value for name, value in options.items() if name != "backend_options"}
    ours, theirs = scores(tasks, tiny, **here), scores(tasks, served, **options)
    assert ours == theirs
    if not options:
        assert all(0 < score.value < 1 for score in ours if score.headline), ours


def test_a_chat_is_asked_with_messages(tasks, tiny, served, server):
    chat = dataclasses.replace(served, chat=True, path="")
    options = {"apply_chat_template": True, "tasks": ["write"]}
    assert scores(tasks, tiny, **options) == scores(tasks, chat, **options)
    assert {path for path, _, _ in server.asked} == {"/v1/chat/completions"}
    assert server.asked[0][1]["messages"][0]["role"] == "user"


def test_the_servers_tokenizer_serves_where_none_is_named(tasks, tiny, served, server):
    server.tokenizes = True
    bare = dataclasses.replace(served, path="")
    LmEval(include_path=str(tasks)).check_endpoint(bare)
    assert scores(tasks, tiny) == scores(tasks, bare)


def test_without_any_tokenizer_answers_are_written_and_nothing_else(tasks, tiny, served, server):
    bare = dataclasses.replace(served, path="")
    assert scores(tasks, tiny, tasks=["write"]) == scores(tasks, bare, tasks=["write"])
    LmEval(include_path=str(tasks), tasks=["write"]).check_endpoint(bare)
    with pytest.raises(UserError, match=r"task 'pick' needs the tokenizer of model 'tiny'.*set model.path"):
        LmEval(include_path=str(tasks)).check_endpoint(bare)


def test_what_does_not_fit_is_counted(tasks, tiny, served):
    """The client leaves room for a token that the server writes: it sends two tokens less than hf reads."""
    cut = {
        (who, n): {score.task: score.cut for score in scores(tasks, ref, max_length=n) if score.headline}
        for who, ref in (("here", tiny), ("there", served))
        for n in (4, 5, 6)
    }
    assert cut["there", 6]["pick"] == cut["here", 4]["pick"]
    assert cut["there", 5]["write"] == cut["here", 4]["write"] > 0


def test_the_key_comes_from_the_environment_alone(tasks, served, server, monkeypatch):
    server.key = "sk-very-secret"
    suite = LmEval(include_path=str(tasks), tasks=["pick"])
    with pytest.raises(UserError, match="asks for a key, which is read from the environment variable OPENAI_API_KEY"):
        suite.check_endpoint(served)
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(UserError, match="refuses the key in the environment variable OPENAI_API_KEY") as said:
        suite.check_endpoint(served)
    assert "wrong" not in str(said.value)
    with pytest.raises(UserError, match=r"the server at http://127\.0\.0\.1:\d+/v1 failed: HTTPError: 401") as said:
        LmEval(include_path=str(tasks), tasks=["pick"], backend_options={"max_retries": 1}).evaluate(served, Context())
    assert "wrong" not in str(said.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    suite.check_endpoint(served)
    assert suite.evaluate(served, Context())
    for name in ("header", "auth_token"):
        with pytest.raises(UserError, match="OPENAI_API_KEY"):
            LmEval(include_path=str(tasks), backend_options={name: "x"}).check_endpoint(served)


def test_a_busy_server_is_asked_again(tasks, tiny, served, server):
    server.failures = 2
    assert scores(tasks, served, tasks=["pick"]) == scores(tasks, tiny, tasks=["pick"])
    server.failures = 10**6
    with pytest.raises(UserError, match="failed: HTTPError: 503"):
        scores(tasks, served, tasks=["pick"], backend_options={"max_retries": 2})


@pytest.mark.parametrize("concurrent", [1, 2])
def test_a_server_without_log_probabilities_of_prompts_is_named(tasks, served, server, concurrent):
    server.echoes = False
    with pytest.raises(
        UserError, match=r"does not give the log-probabilities of the prompt.*output_type is generate_until"
    ):
        scores(tasks, served, tasks=["pick"], backend_options={"num_concurrent": concurrent, "max_retries": 1})


def test_what_a_chat_cannot_tell_is_refused(tasks, served):
    chat = dataclasses.replace(served, chat=True)
    with pytest.raises(
        UserError, match=r"task 'pick' asks how likely.*output_type is generate_until, or model.chat=false"
    ):
        LmEval(include_path=str(tasks), apply_chat_template=True).check_endpoint(chat)
    with pytest.raises(UserError, match=r"task 'mmlu_\w+' asks how likely"):
        LmEval(tasks=["mmlu"], apply_chat_template=True).check_endpoint(chat)
    with pytest.raises(UserError, match="apply_chat_template=true"):
        LmEval(include_path=str(tasks), tasks=["write"]).check_endpoint(chat)


def test_a_server_that_is_not_there_or_has_another_model(tasks, served, server):
    suite = LmEval(include_path=str(tasks))
    server.also = ["tinier"]
    with pytest.raises(
        UserError, match=r"unknown model \(set by model.name\) 'tinyer'\. Did you mean .* Valid: tinier, tiny"
    ):
        suite.check_endpoint(dataclasses.replace(served, name="tinyer"))
    server.lists = False
    suite.check_endpoint(dataclasses.replace(served, name="tinyer"))
    server.close()
    with pytest.raises(NotAtHand, match=rf"the server at {server.url} cannot be reached: Connection refused"):
        suite.check_endpoint(served)


def test_a_missing_client_is_named_with_its_extra(tasks, served, monkeypatch):
    monkeypatch.setattr(_endpoint, "absent_modules", lambda names: ["tenacity"])
    with pytest.raises(
        NotAtHand, match=r'the Python module tenacity, which is not installed: pip install "selbench\[endpoint\]"'
    ):
        LmEval(include_path=str(tasks)).check_endpoint(served)


def test_the_identity_is_the_name_and_the_revision_and_not_the_address(served, tiny, tmp_path):
    found = fingerprint(served)
    assert fingerprint(dataclasses.replace(served, url="http://elsewhere:1/v1")) == found
    others = [{"name": "other"}, {"revision": "2"}, {"chat": True}, {"path": ""}, {"url": None}]
    assert len({found, *(fingerprint(dataclasses.replace(served, **each)) for each in others)}) == len(others) + 1
    assert os.environ.get("OPENAI_API_KEY") is None
