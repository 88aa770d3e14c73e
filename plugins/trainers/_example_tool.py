"""A fine-tuner as anybody would write it: a loop over PyTorch and transformers that knows nothing of selbench.

`selbench check command` runs it, and docs/trainers.md shows how; it is an example of a script for trainer=command:

    python _example_tool.py --data=selection.jsonl --model=FOLDER --output=FOLDER --seed=0 --epochs=1 --learning_rate=1e-3
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any


def main() -> None:
    """Read chat messages in JSON Lines, train on all tokens of the last message, and save the model."""
    options = argparse.ArgumentParser()
    for name in ("data", "model", "output"):
        options.add_argument(f"--{name}", required=True)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--epochs", type=float, default=1.0)
    options.add_argument("--learning_rate", type=float, default=1e-3)
    options.add_argument("--batch_size", type=int, default=8)
    options.add_argument("--max_length", type=int, default=512)
    chosen = options.parse_args()

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(chosen.seed)
    tokenizer = AutoTokenizer.from_pretrained(chosen.model)
    model: Any = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=torch.float32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    with open(chosen.data, encoding="utf-8") as file:
        rows = [encoded(tokenizer, json.loads(line)["messages"], chosen.max_length) for line in file]
    rows = [row for row in rows if any(label >= 0 for label in row[1][1:])]
    optimizer = torch.optim.AdamW(model.parameters(), lr=chosen.learning_rate, weight_decay=0.0)
    shuffle = random.Random(chosen.seed)
    left = round(chosen.epochs * len(rows))
    step = 0
    while left > 0:
        order = shuffle.sample(range(len(rows)), len(rows))[:left]
        left -= len(order)
        for start in range(0, len(order), chosen.batch_size):
            batch = [rows[position] for position in order[start : start + chosen.batch_size]]
            longest = max(len(ids) for ids, _ in batch)
            ids, labels, seen = (
                torch.tensor([list(row) + [fill] * (longest - len(row)) for row in part], device=device)
                for part, fill in (
                    ([ids for ids, _ in batch], 0),
                    ([labels for _, labels in batch], -100),
                    ([[1] * len(ids) for ids, _ in batch], 0),
                )
            )
            loss = model(input_ids=ids, attention_mask=seen, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            print(f"step {step} loss {loss.item():.4f}", flush=True)
    model.save_pretrained(chosen.output)
    tokenizer.save_pretrained(chosen.output)


def encoded(tokenizer: Any, messages: Sequence[Mapping[str, str]], longest: int) -> tuple[list[int], list[int]]:
    """(ids, labels) of one conversation, cut to `longest` tokens; labels are -100 before the last message."""
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    if not whole.startswith(prompt):
        prompt = ""
    ids = tokenizer(whole, add_special_tokens=False)["input_ids"][:longest]
    known = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    return ids, [-100 if place < known else token for place, token in enumerate(ids)]


if __name__ == "__main__":
    main()
