"""A grid that takes a model through all there is: the features of every method, LoRA, and an evaluation of both kinds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from helpers.tiny_models import WORDS

SELECTORS = ("mads", "nait", "kcenter_hidden", "sae_simscale")
SMALL = {"latents": 64, "k": 4, "train_tokens": 400}  # options of an autoencoder that is trained in a moment
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: items.jsonl}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
"""
WRITES = """\
output_type: generate_until
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 3}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
CHOOSES = """\
output_type: multiple_choice
doc_to_choice: "{{choices}}"
doc_to_target: right
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def settings(folder: Path, model: Path, examples: int) -> list[str]:
    """All settings of the grid but its selectors; its pool, its target and its tasks are written into `folder`."""
    rng = random.Random(0)

    def words(count: int) -> str:
        return " ".join(rng.choices(WORDS, k=count))

    rows = [{"instruction": words(6), "output": words(4)} for _ in range(examples)]
    _write(folder / "pool.jsonl", rows)
    _write(folder / "target.jsonl", [{"instruction": words(6), "output": words(4)} for _ in range(8)])
    tasks = folder / "tasks"
    tasks.mkdir()
    items = [
        {"id": f"q{i}", "question": words(5), "answer": words(1), "choices": [words(1), words(2)], "right": 0}
        for i in range(3)
    ]
    _write(tasks / "items.jsonl", items)
    (tasks / "writes.yaml").write_text(TASK.format(name="writes") + WRITES)
    (tasks / "chooses.yaml").write_text(TASK.format(name="chooses") + CHOOSES)
    return [
        "pool=file",
        f"pool.path={folder / 'pool.jsonl'}",
        "target=file",
        f"target.file.path={folder / 'target.jsonl'}",
        "model=local",
        f"model.path={model}",
        "model.max_length=96",
        "budget=0.25",
        "trainer=lora",
        "trainer.match=steps",
        "trainer.steps=2",
        "trainer.batch_size=2",
        "trainer.lora_rank=4",
        "suite=lm_eval",
        f"suite.lm_eval.include_path={tasks}",
        "tracking=none",
        f"output_dir={folder / 'outputs'}",
    ]


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def features(outputs: Path) -> dict[str, dict[str, Any]]:
    """Name of a feature -> its arrays by name, of all features in the store."""
    import numpy as np

    found = {}
    for manifest in sorted((outputs / "store").glob("*/*/manifest.json")):
        about = json.loads(manifest.read_text())
        if about["kind"] in ("features", "autoencoder"):
            found[about["identity"]["spec"]["name"]] = {
                file.stem: np.load(file) for file in manifest.parent.glob("*.npy")
            }
    return found


def records(outputs: Path) -> list[dict]:
    """The records of all runs."""
    return [json.loads(path.read_text()) for path in sorted((outputs / "runs").glob("*/record.json"))]
