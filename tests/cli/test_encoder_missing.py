"""selector=kcenter without its encoder: refused before any cell, by runs and grids, with two ways out; plans say that it is
needed."""

from __future__ import annotations

import pytest

from selbench.data import commits, hub


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 0.5)
    commits.forget_commits()
    yield tmp_path / "cache" / "models--sentence-transformers--all-MiniLM-L6-v2"
    commits.forget_commits()


def without_selector(settings) -> list[str]:
    return [text for text in settings if not text.startswith("selector=")]


@pytest.mark.parametrize("verb", [["-m"], ["plan", "-m"], ["plan"], []], ids=" ".join)
def test_it_is_refused_before_any_cell(selbench, settings, tmp_path, no_hub, verb):
    chosen = "selector=random,kcenter" if "-m" in verb else "selector=kcenter"
    ran = selbench(*verb, *without_selector(settings), chosen)
    planned = "plan" in verb
    assert ran.status == (0 if planned else 2) and "Traceback" not in ran.err
    told = ran.out[ran.out.index("Needed before a run") :] if planned else ran.err
    for words in ("selector.encoder=/folder", "selector=kcenter_tfidf", "all-MiniLM-L6-v2", "127.0.0.1:9"):
        assert words in told
    assert not list((tmp_path / "outputs").glob("runs/*"))


def test_a_commit_without_its_files_is_refused_and_with_them_is_not(selbench, settings, no_hub):
    (no_hub / "refs").mkdir(parents=True)
    (no_hub / "refs" / "main").write_text("a" * 40)
    run = [*without_selector(settings), "selector=kcenter"]
    plan = ["plan", *run]
    refused = selbench(*run)
    assert refused.status == 2 and "is not in the local cache" in refused.err
    assert "is not in the local cache" in selbench(*plan).out
    files = no_hub / "snapshots" / ("a" * 40)
    files.mkdir(parents=True)
    (files / "model.safetensors").write_bytes(b"weights")
    planned = selbench(*plan)
    assert planned.status == 0 and "Needed before a run" not in planned.out


def test_a_folder_is_looked_into(selbench, settings, tmp_path, no_hub):
    plain = without_selector(settings)
    for folder, said in ((tmp_path / "absent", "does not exist"), (tmp_path, "holds no weights")):
        refused = selbench("plan", *plain, "selector=kcenter", f"selector.encoder={folder}")
        assert refused.status == 2 and said in refused.err and "selector=kcenter_tfidf" in refused.err
        copied = selbench(
            "plan",
            *plain,
            "selector=random",
            "selector.match=length",
            f"selector.like={{name:kcenter,encoder:{folder}}}",
        )
        assert copied.status == 2 and said in copied.err


@pytest.mark.parametrize("choice", ["kcenter_tfidf", "kcenter_hidden"])
def test_other_spaces_ask_no_hub(selbench, settings, no_hub, choice, monkeypatch):
    asked = []
    monkeypatch.setattr("selbench.data.hub.reachable", lambda: asked.append(1))
    assert selbench("plan", *without_selector(settings), f"selector={choice}").status == 0 and not asked
