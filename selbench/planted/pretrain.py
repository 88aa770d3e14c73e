"""Trains the two base models: small Llamas that have read declarative text about the planted world, and no question.

python -m selbench.planted.pretrain --model planted-1m --out DIR
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from selbench.planted.card import model_card
from selbench.planted.shapes import LINES, ROWS, SHAPES, UNFORESEEABLE, Shape
from selbench.planted.skills import skills
from selbench.planted.tokenizer import END, MAX_LENGTH, PAD, START, build_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

DEMANDING = (
    "reverse",
    "sort",
    "add",
    "subtract",
    "dedupe",
    "pick_colour",
)  # in the text twice as often as other skills


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of this shape with random weights and tied embeddings."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=MAX_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def pretraining_batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless pairs (ids, foreseeable), both ROWS x T: token ids, padded on the right, and whether each token can be foreseen.

    A token can be foreseen if it follows from the text before it. A row is START, LINES lines of text, and END.
    """
    import torch

    rng = Random(f"planted pretraining {seed}")
    known = [skill for skill in skills().values() for _ in range(2 if skill.name in DEMANDING else 1)]
    start, end, pad = (tokenizer.get_vocab()[token] for token in (START, END, PAD))
    while True:
        parts = [part for _ in range(ROWS * LINES) for part in rng.choice(known).line(rng)]
        encoded = tokenizer(parts, add_special_tokens=False)["input_ids"]
        # Every line is two parts, tokenised apart: the second part is foreseeable, the first is not.
        rows = []
        for row in range(ROWS):
            of_row = encoded[row * 2 * LINES : (row + 1) * 2 * LINES]
            tokens = [(token, bool(i % 2)) for i, part in enumerate(of_row) for token in part]
            rows.append([(start, False), *tokens, (end, False)])
        longest = max(map(len, rows))
        table = torch.tensor([row + [(pad, False)] * (longest - len(row)) for row in rows])
        yield table[..., 0], table[..., 1].bool()


def weighted_losses(
    model: LlamaForCausalLM, ids: torch.Tensor, foreseeable: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss that is trained on, and the mean loss of the foreseeable tokens in nats: two scalars."""
    import torch

    pad = model.config.pad_token_id
    assert pad is not None
    logits = model(input_ids=ids, attention_mask=torch.ne(ids, pad).long(), use_cache=False).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    wanted, real = foreseeable[:, 1:].float(), torch.ne(ids[:, 1:], pad).float()
    weights = wanted + UNFORESEEABLE * (real - wanted)
    return (each * weights).sum() / weights.sum(), (each * wanted).sum() / wanted.sum()


def pretrain(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, shape: Shape, steps: int, seed: int) -> float:
    """Train the model in place; return the mean loss per foreseeable token over the last 100 steps, in nats."""
    import torch
    from tqdm import tqdm

    optimizer = torch.optim.AdamW(model.parameters(), lr=shape.learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    warmup = min(200, steps // 10 + 1)

    def rate(step: int) -> float:
        decay = 0.5 * (1 + math.cos(math.pi * max(0, step - warmup) / max(1, steps - warmup)))
        return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * decay)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    recent: list[float] = []
    bar = tqdm(zip(range(steps), pretraining_batches(tokenizer, seed)), total=steps, desc="pretraining", disable=None)
    for step, (ids, foreseeable) in bar:
        with torch.autocast("cpu", torch.bfloat16, enabled=shape.bfloat16):
            loss, shown = weighted_losses(model, ids, foreseeable)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent = [*recent[-99:], shown.item()]
        if step % 200 == 199:
            bar.write(f"step {step + 1}: {sum(recent) / len(recent):.4f} nats per foreseeable token")
    return sum(recent) / len(recent)


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model and tokenizer. Weights are float16, for half the size; the configuration asks to load them as float32."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m selbench.planted.pretrain",
        description="Pretrain one of the two planted base models on declarative text of the planted world (CPU).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--model", choices=sorted(SHAPES), default="planted-1m", help="which of the two models")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write the model to; it is created if missing"
    )
    parser.add_argument(
        "--steps", type=int, default=None, help="training steps; by default what the committed model had"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial weights and of the text")
    options = parser.parse_args()

    import torch

    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    # One thread sums in the same order on every machine, and models this small gain little from a second core.
    torch.set_num_threads(1)
    shape, tokenizer, began = SHAPES[options.model], build_tokenizer(), time.perf_counter()
    model = build_model(shape, tokenizer)
    steps = options.steps or shape.steps
    loss = pretrain(model, tokenizer, shape, steps, options.seed)
    save_model(model, tokenizer, options.out)
    minutes = (time.perf_counter() - began) / 60
    card = model_card(options.model, shape, model.num_parameters(), steps, options.seed, loss)
    (options.out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    print(
        f"{options.out}: {model.num_parameters()} parameters, {steps} steps, {minutes:.1f} min, final loss {loss:.4f}"
    )


if __name__ == "__main__":
    main()
