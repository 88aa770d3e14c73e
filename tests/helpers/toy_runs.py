"""A toy model, a toy pool, and settings with which a whole run takes milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

TOYS = Path(__file__).parent / "toys"


def toy_model(folder: Path) -> Path:
    """A folder with a word-level tokenizer and no weights."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({"<unk>": 0, "</s>": 1, "word": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(folder)
    return folder


def toy_pool(folder: Path) -> Path:
    """Forty rows in Alpaca form; row i has a response of i + 1 words."""
    path = folder / "pool.jsonl"
    rows = [{"id": f"{i:04d}", "instruction": f"Say {i}", "output": " ".join(["word"] * (i + 1))} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def toy_settings(model: Path, pool: Path, outputs: Path) -> list[str]:
    """Overrides for a run with the toy plugins, this model and this pool."""
    return [
        f"plugin_path={TOYS}",
        "pool=file",
        f"pool.path={pool}",
        "model=local",
        f"model.path={model}",
        "model.name=toy",
        "trainer=toy_trainer",
        "suite=[toy_suite]",
        "tracking=none",
        f"output_dir={outputs}",
    ]
