"""Tiny random models of several architectures and a word-level tokenizer, for the tests of features and selectors."""

from __future__ import annotations

import random
from pathlib import Path

from selbench.api import Example, ModelRef, Pool

TEXT = "add the numbers list three colours of a tree name river say which word is longer red green blue one two"
WORDS = TEXT.split()
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + ']' }}{{ ' ' + m.content + ' ' }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)
SHAPE = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
GATED = {**SHAPE, "intermediate_size": 40, "num_key_value_heads": 1, "max_position_embeddings": 64}
FAMILIES = {
    "llama": ("LlamaConfig", GATED),
    "mistral": ("MistralConfig", {**GATED, "sliding_window": 8}),
    "qwen2": ("Qwen2Config", GATED),
    "qwen3": ("Qwen3Config", {**GATED, "head_dim": 8}),
    "gemma": ("GemmaConfig", {**GATED, "head_dim": 8}),
    "gemma2": ("Gemma2Config", {**GATED, "head_dim": 8, "sliding_window": 8}),
    "gemma3_text": ("Gemma3TextConfig", {**GATED, "head_dim": 8, "sliding_window": 8}),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": 64, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_inner": 40, "n_positions": 64},
    ),
    "gpt_neox": ("GPTNeoXConfig", {**SHAPE, "intermediate_size": 40, "max_position_embeddings": 64}),
}


def make_tokenizer():
    """A tokenizer of whole words with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "[user]", "[assistant]", "[system]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
        additional_special_tokens=special[3:],
    )
    fast.chat_template = TEMPLATE
    return fast


def make_byte_tokenizer():
    """A tokenizer of bytes with a chat template, in the form of Qwen's and GPT-2's: BPE without any merge."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "[user]", "[assistant]", "[system]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate([*special, *letters])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, additional_special_tokens=special[3:])
    fast.chat_template = TEMPLATE
    return fast


def make_model(folder: Path, family: str = "llama", seed: int = 0, tokenizer=None, **changes) -> ModelRef:
    """A random model of the family, saved with the tokenizer; its weights are large enough that layers differ.

    `changes` are entries of its configuration.
    """
    import torch
    import transformers

    torch.set_num_threads(1)  # with matrices as small as these, threads mostly wait for each other
    name, options = FAMILIES[family]
    config = getattr(transformers, name)(**{**options, **changes}, bos_token_id=1, eos_token_id=2, pad_token_id=2)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    return ModelRef(family, str(folder), max_length=48)


def make_pool(size: int, seed: int = 0) -> Pool:
    """Examples of random words. About every eighth repeats an earlier one; some have a history, some an input."""
    rng = random.Random(seed)
    examples: list[Example] = []
    for i in range(size):
        if examples and rng.random() < 0.12:
            old = rng.choice(examples)
            examples.append(Example(f"e{i}", old.instruction, old.response, old.input, history=old.history))
            continue
        say = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(4)]
        history = ((say[2], say[3]),) if rng.random() < 0.2 else ()
        examples.append(Example(f"e{i}", say[0], say[1], say[2] if rng.random() < 0.3 else "", history=history))
    return Pool(examples)
