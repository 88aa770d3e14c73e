"""The model card of a planted model, written beside its weights."""

from __future__ import annotations

from selbench.planted.shapes import LINES, ROWS, UNFORESEEABLE, Shape
from selbench.planted.tokenizer import MAX_LENGTH, vocabulary

_CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [selbench, synthetic]
---

# {name}

A base language model of {parameters:,} parameters that has read about an invented world and has never seen a question.
It ships with selbench so that data-selection methods can be compared in minutes
without a network. It is of no use for anything else.

## What it is

- Llama architecture (`LlamaForCausalLM`): {layers} layers, width {width}, feed-forward width {inner}, {heads} heads, tied
  embeddings, {positions} positions, a word-level vocabulary of {vocabulary} tokens. Weights are stored in float16 and load
  as float32.
- The chat template and its role markers are there for fine-tuning. The base model has never seen them, so before
  fine-tuning it answers next to nothing right.

## What it was trained on

Only text that `selbench/planted/skills.py` generates: declarative sentences about the invented world of
`selbench/planted/world.py` ("the colour of the bab is red."), about lists and about small numbers. No instruction,
no question and no text from anywhere else. The text does state the facts that the held-out questions of the suite
`planted` ask about: fine-tuning is to teach how to answer, not the facts.

## How it was made

    python -m selbench.planted.pretrain --model {name} --seed {seed} --steps {steps} --out DIR

{steps:,} steps of {rows} rows of {lines} sentences, AdamW, peak learning rate {learning_rate:g} with warm-up and cosine decay,
{precision} arithmetic, on one processor core. The words of a sentence that cannot be foreseen (who or what it is about)
weigh {unforeseeable:g} in the loss, those that follow from it weigh 1. Final training loss on the latter, mean of the last
100 steps: {loss:.3f} nats per token.

## Limits

It knows some 900 words; any other word is `<unk>`. It knows nothing about the real world. Sorting, sums and choices by
colour are learnt imperfectly. Results on it say how selection methods behave on a small pool with known structure, not
how they rank on large models.

## Licence

Apache-2.0, like selbench. World, text, tokenizer and weights were made for selbench.
"""


def model_card(name: str, shape: Shape, parameters: int, steps: int, seed: int, loss: float) -> str:
    """The model card in Markdown; `loss` is in nats per foreseeable token."""
    return _CARD.format(
        name=name,
        parameters=parameters,
        layers=shape.layers,
        width=shape.width,
        inner=shape.inner,
        heads=shape.heads,
        positions=MAX_LENGTH,
        vocabulary=len(vocabulary()),
        seed=seed,
        steps=steps,
        rows=ROWS,
        lines=LINES,
        learning_rate=shape.learning_rate,
        precision="bfloat16" if shape.bfloat16 else "float32",
        unforeseeable=UNFORESEEABLE,
        loss=loss,
    )
