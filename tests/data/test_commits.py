"""What is on the hub counts by its commit: a branch that has moved is another model, encoder, data set and key."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from helpers.hub_server import HubServer, ask, gone
from huggingface_hub import constants

from selbench.api import ModelRef
from selbench.data import commits, hub
from selbench.data.pools import FilePool
from selbench.errors import UserError
from selbench.features.embeddings import TextEmbeddings
from selbench.models import fingerprint, load_tokenizer
from selbench.run.hub_commits import HubNotes, unknown_commits
from selbench.store.facts import HubCommit
from selbench.store.keys import digest, spec_identity


def rows(count: int) -> bytes:
    return "".join(
        json.dumps({"instruction": f"Say {number}", "response": f"It is {number}"}) + "\n" for number in range(count)
    ).encode()


def keep(server: HubServer, name: str, commit: str, file: str = "config.json") -> None:
    """Have the local cache hold a file at a commit, as after a load."""
    from huggingface_hub import hf_hub_download

    with commits.at_commit("model", name) as revision:
        assert revision == commit
        hf_hub_download(name, file, revision=revision)


def test_a_branch_is_asked_once_and_a_new_commit_is_another_key(server: HubServer) -> None:
    first = server.push("lab/tiny", {"config.json": b"{}"})
    model, encoder = ModelRef("tiny", "lab/tiny"), TextEmbeddings("lab/tiny")
    before = fingerprint(model), digest(spec_identity(encoder))
    assert commits.commit_of("model", "lab/tiny") == first
    second = server.push("lab/tiny", {"config.json": b'{"a": 1}'})
    assert (fingerprint(model), digest(spec_identity(encoder))) == before, "the branch moved within the process"
    commits.forget_commits()
    after = fingerprint(model), digest(spec_identity(encoder))
    assert commits.commit_of("model", "lab/tiny") == second
    assert before[0] != after[0] and before[1] != after[1]


def test_a_tag_and_a_commit_stand_for_themselves(server: HubServer) -> None:
    first = server.push("lab/data", {}, "dataset", tag="v1")
    server.push("lab/data", {}, "dataset")
    assert commits.commit_of("dataset", "lab/data", "v1") == first
    asked = len(server.asked)
    assert commits.commit_of("dataset", "lab/data", first) == first
    assert len(server.asked) == asked, "a commit needs no hub"
    by_tag, by_commit = (fingerprint(ModelRef("m", "lab/tiny", revision=at)) for at in push_two(server))
    assert by_tag == by_commit


def push_two(server: HubServer) -> tuple[str, str]:
    return "v1", server.push("lab/tiny", {"config.json": b"{}"}, tag="v1")


def test_what_a_grid_has_settled_holds_in_another_process(server: HubServer) -> None:
    first = server.push("lab/tiny", {})
    assert commits.commit_of("model", "lab/tiny") == first
    told = json.loads(json.dumps(commits.settled_rows()))
    server.push("lab/tiny", {"new.json": b"{}"})
    commits.forget_commits()
    commits.settle(told)
    assert commits.commit_of("model", "lab/tiny") == first


def test_the_cache_says_the_commit_where_no_hub_does(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = server.push("lab/tiny", {"config.json": b"{}"})
    keep(server, "lab/tiny", first)
    online = fingerprint(ModelRef("tiny", "lab/tiny"))
    gone(monkeypatch)
    assert commits.commit_of("model", "lab/tiny") == first
    assert "taken from the local cache" in caplog.text and first in caplog.text
    assert fingerprint(ModelRef("tiny", "lab/tiny")) == online
    caplog.clear()
    ask(monkeypatch, server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert commits.commit_of("model", "lab/tiny") == first
    assert not caplog.text, "it was asked for"


def test_the_commit_of_an_old_record_does_not_move_the_branch_of_the_cache(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = server.push("lab/tiny", {"config.json": b"{}"})
    new = server.push("lab/tiny", {"config.json": b'{"a": 1}'})
    keep(server, "lab/tiny", new)
    commits.settle([{"kind": "model", "name": "lab/tiny", "revision": None, "commit": old}])
    keep(server, "lab/tiny", old)
    gone(monkeypatch)
    assert commits.commit_of("model", "lab/tiny") == new


@pytest.mark.parametrize(
    "name, revision, why",
    [
        ("lab/absent", None, "has no such model, or it is private"),
        ("lab/tiny", "v9", "it has no revision 'v9' at the hub"),
        ("lab/tiny/more", None, "says: "),
    ],
)
def test_why_a_commit_is_not_known(server: HubServer, name: str, revision: str | None, why: str) -> None:
    server.push("lab/tiny", {})
    assert commits.commit_of("model", name, revision) is None
    (said,) = unknown_commits([HubCommit("model", "model", name, revision)])
    assert why in said and f"'{name}'" in said and server.url in said and "model.path=" in said


def test_no_hub_and_no_cache_ends_soon_in_one_sentence(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gone(monkeypatch)
    monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 1.0)
    began, notes = time.monotonic(), HubNotes()
    notes.of("model", lambda: fingerprint(ModelRef("tiny", "lab/tiny")))
    notes.of("selector", lambda: spec_identity(TextEmbeddings("lab/encoder")))
    model, encoder = unknown_commits(notes.commits)
    assert time.monotonic() - began < 10
    assert model.startswith(
        "model: the commit of 'lab/tiny' (model, revision main) is not known: the hub (http://127.0.0.1:9)"
    )
    assert "'lab/encoder'" in encoder and "encoder=/path/to/folder" in encoder


def test_a_silent_hub_is_not_waited_for_again(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may need ten repositories, and each would wait for seconds."""
    tries = []
    monkeypatch.setattr("huggingface_hub.utils.get_session", lambda: tries.append(1))  # head() of None fails
    assert not hub.reachable() and not hub.reachable() and len(tries) == 1
    hub.forget_silence()
    assert not hub.reachable() and len(tries) == 2


def test_a_tokenizer_is_loaded_at_the_commit_of_the_key(server: HubServer) -> None:
    import selbench

    folder = Path(selbench.__file__).parent / "planted/models/planted-1m"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jinja")}
    first = server.push("lab/tiny", files)
    ref = ModelRef("tiny", "lab/tiny")
    fingerprint(ref)
    server.push("lab/tiny", {"config.json": b"broken"})  # what is loaded is not what the branch is by now
    server.asked.clear()
    assert len(load_tokenizer(ref)) > 100
    read = [line for line in server.asked if "/resolve/" in line]
    assert read and all(first in line for line in read)


def test_a_name_alone_is_an_encoder_of_sentence_transformers_if_there_is_one(server: HubServer) -> None:
    own = server.push("sentence-transformers/mini", {})
    assert TextEmbeddings("mini").identity()["encoder"] == ["sentence-transformers/mini", own]
    other = server.push("lab/other", {})
    assert TextEmbeddings("lab/other").identity()["encoder"] == ["lab/other", other]


def test_a_pool_is_read_at_its_commit_and_from_the_cache_where_no_hub_answers(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server.push("lab/data", {"train.jsonl": rows(3)}, "dataset")
    second = server.push("lab/data", {"train.jsonl": rows(5)}, "dataset")

    def sizes(**options: str) -> tuple[int, list[str | None]]:
        with commits.noted() as found:
            pool = FilePool(hub="lab/data", **options).load().pool
        return len(pool), [one.commit for one in found.values()]

    assert sizes(revision=first) == (3, [first])
    assert sizes() == (5, [second])
    assert sizes(hub_file="train.jsonl") == (5, [second])
    gone(monkeypatch)
    assert sizes() == (5, [second])
    assert sizes(revision=first) == (3, [first])
    absent = "0" * 40
    with pytest.raises(UserError, match=f"is to be read at its commit {absent}, but the local cache holds it at"):
        sizes(revision=absent)
