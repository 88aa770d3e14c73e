"""A command line with toy plugins, a toy pool and a toy model: whole runs in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TOYS = Path(__file__).parent / "toys"


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a word-level tokenizer and no weights."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({"<unk>": 0, "</s>": 1, "word": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    folder = tmp_path_factory.mktemp("toy_model")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty rows in Alpaca form; row i has a response of i + 1 words."""
    path = tmp_path_factory.mktemp("toy_pool") / "pool.jsonl"
    rows = [{"id": f"{i:04d}", "instruction": f"Say {i}", "output": " ".join(["word"] * (i + 1))} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def settings(toy_model: Path, toy_pool: Path, tmp_path: Path) -> list[str]:
    """What makes a run a toy run."""
    return [
        f"plugin_path={TOYS}",
        "pool=file",
        f"pool.path={toy_pool}",
        "model=local",
        f"model.path={toy_model}",
        "model.name=toy",
        "trainer=toy_trainer",
        "suite=[toy_suite]",
        "tracking=none",
        f"output_dir={tmp_path / 'outputs'}",
    ]


@pytest.fixture
def selbench(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`selbench(...)` runs the command line in this process and gives exit status, output and messages."""

    def run(*arguments: str) -> Ran:
        from hydra.core.global_hydra import GlobalHydra

        from selbench.cli.main import run as command

        capfd.readouterr()
        GlobalHydra.instance().clear()
        status = command([*arguments])
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run
