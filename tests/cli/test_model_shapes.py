"""The shapes of today's models through every method's features, LoRA and an evaluation; in miniature, and one in full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_models import make_byte_tokenizer, make_model, make_tokenizer
from helpers.whole_path import SELECTORS, SMALL, features, records, settings

# Several command lines in one process, and the most memory that it held.
PEAK = """
import json, resource, sys
from selbench.cli.main import run
for line in json.loads(sys.argv[1]):
    if status := run(line):
        sys.exit(status)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.parametrize(
    "family", ["mistral", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2", "gemma2"))]
)
def test_a_family_in_miniature(selbench, tmp_path, family):
    """Grouped queries in all of them, windows in Mistral and Gemma; Gemma's embeddings are the head too, and its blocks have
    four norms. transformers reads the tokenizer of a Qwen as byte-level BPE, whatever its file says."""
    make_model(tmp_path / "model", family, tokenizer=make_byte_tokenizer(), vocab_size=300, max_position_embeddings=128)
    small = [f"selector.sae_simscale.{name}={value}" for name, value in SMALL.items()]
    ran = selbench("-m", f"selector={','.join(SELECTORS)}", *small, *settings(tmp_path, tmp_path / "model", 16))
    assert ran.status == 0, ran.err
    found = check(tmp_path / "outputs", examples=16, layers=3, width=16, inner=40)
    assert sorted(record["axes"]["selector"].partition("(")[0] for record in found) == sorted(SELECTORS)


def check(outputs: Path, examples: int, layers: int, width: int, inner: int) -> list[dict]:
    """The features of all selectors have their shapes, and the runs have finished. Gives the records."""
    found = records(outputs)
    for record in found:
        assert record["status"] == "finished", record["reason"]
        assert record["selection"]["examples"] == examples // 4 and record["unchanged"] is False
        assert {row["task"] for row in record["scores"]} == {"writes", "chooses"}
    made = features(outputs)
    assert made["HiddenStates"]["values"].shape == (examples, width)
    assert made["Directions"]["directions"].shape == (layers, width)
    assert made["Projections"]["projections"].shape == (examples, layers, 1)
    assert made["SparseAutoencoder"]["W_enc"].shape == (64, width)
    assert made["ActivationTags"]["shape"].tolist() == [examples, inner]
    assert made["SaeTags"]["shape"].tolist() == [examples, 64]
    # Single numbers may be unknown: the correlation with lengths where all are equal.
    for arrays in made.values():
        assert all(np.isfinite(array).all() for array in arrays.values() if array.ndim)
    return found


@pytest.mark.slow
@pytest.mark.long
def test_a_model_of_the_shape_of_llama_3_2_1b(tmp_path):
    """Random weights in bfloat16 on the disk, a vocabulary larger than the tokenizer's; on a CPU, within 16 GiB."""
    make = f"""
import torch, transformers
from pathlib import Path
shape = dict(num_hidden_layers=16, hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
             vocab_size=128256, tie_word_embeddings=True, max_position_embeddings=131072, rope_theta=500000.0)
config = transformers.LlamaConfig(**shape, bos_token_id=1, eos_token_id=2, pad_token_id=2)
torch.set_default_dtype(torch.bfloat16)
transformers.LlamaForCausalLM(config).save_pretrained({str(tmp_path / "model")!r})
"""
    subprocess.run([sys.executable, "-c", make], check=True, timeout=600)
    make_tokenizer().save_pretrained(tmp_path / "model")
    weights = sum(path.stat().st_size for path in (tmp_path / "model").glob("*.safetensors"))
    assert 2.4e9 < weights < 2.6e9  # 1.24 billion parameters, the embedding once
    plain = settings(tmp_path, tmp_path / "model", 24)
    small = [f"selector.{name}={value}" for name, value in SMALL.items()]
    lines = [["-m", "selector=mads", *plain]]  # a grid, because it keeps its plan
    for selector, more in (("nait", []), ("kcenter_hidden", []), ("sae_simscale", small)):
        lines.append(["select", f"selector={selector}", *more, *plain, "--out", str(tmp_path / f"{selector}.jsonl")])
    command = [sys.executable, "-c", PEAK, json.dumps(lines)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stderr
    assert len(check(tmp_path / "outputs", examples=24, layers=16, width=2048, inner=8192)) == 1
    peak = int(ran.stdout.rsplit("peak ", 1)[1])
    (plan,) = (json.loads(path.read_text()) for path in (tmp_path / "outputs" / "sweeps").glob("*/plan.json"))
    planned = max(stage["memory"] for stage in plan["stages"] if stage["stage"] == "training")
    print(f"peak {peak / 2**30:.1f} GiB, of which {planned / 2**30:.1f} GiB were planned for the fine-tuning")
    assert 0.5 * planned < peak < 16 * 2**30
