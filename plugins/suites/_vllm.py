"""Models that vLLM runs, through lm-eval's own class for it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selbench_plugins.suites._code_needs import absent_modules
from selbench_plugins.suites._counting import counting_vllm_class

from selbench.api import ModelRef
from selbench.errors import NotAtHand, UserError
from selbench.kept_model import borrowed_model, forget_model
from selbench.models import load_tokenizer, local_folder, positions, weights_identity
from selbench.placement import device_for, dtype_for

# What the suite and the model say themselves, with the option for it; None: there is none, because selbench sets it.
SAID_ELSEWHERE = {
    "add_bos_token": "the suite's add_bos_token",
    "batch_size": None,
    "dtype": "model.dtype",
    "lora_local_path": "model.adapter",
    "max_length": "the suite's max_length",
    "max_model_len": "the suite's max_length",
    "max_lora_rank": "model.adapter",
    "model": "model.path",
    "pretrained": "model.path",
    "revision": "model.revision",
    "tokenizer": "model.path",
    "tokenizer_revision": "model.revision",
    "truncation_side": None,
    "trust_remote_code": None,
}


def check_vllm(options: Mapping[str, Any]) -> None:
    """Raises UserError for an option that is said elsewhere, NotAtHand where vllm is not installed."""
    refuse_said_elsewhere(options, SAID_ELSEWHERE)
    if absent_modules(["vllm"]):
        raise NotAtHand(
            'backend=vllm needs the Python module vllm, which is not installed: pip install "selbench[vllm]" (it needs '
            "a GPU), or take backend=hf."
        )


def refuse_said_elsewhere(options: Mapping[str, Any], elsewhere: Mapping[str, str | None]) -> None:
    """Raises UserError for the first of these options that has another place."""
    for name in options:
        if name in elsewhere:
            instead = f"it is said by {elsewhere[name]}" if elsewhere[name] else "selbench sets it"
            raise UserError(f"backend_options.{name}: {instead}.")


@contextmanager
def vllm_model(
    model: ModelRef, scratch: Path, *, max_length: int | None, add_bos_token: bool | None, options: Mapping[str, Any]
) -> Iterator[Any]:
    """lm-eval's model over a vLLM engine, which is shut down at the end of the block.

    An adapter is merged first, into a copy in `scratch`: so vLLM reads the weights that `backend=hf` evaluates, of any kind of
    adapter, while it could itself apply only plain ones, up to a rank that it has to be told.
    """
    pretrained, revision = _weights(model, scratch)
    tokenizer = scratch / "tokenizer"
    load_tokenizer(model).save_pretrained(tokenizer)  # with the chat template in force
    forget_model()  # an engine takes most of a GPU
    longest = min(filter(None, (max_length, positions(model))), default=None)
    harness = counting_vllm_class()(
        pretrained=pretrained,
        revision=revision,
        tokenizer=str(tokenizer),
        dtype=str(dtype_for(model, device_for(None))).removeprefix("torch."),
        max_model_len=longest,
        batch_size="auto",
        **options,
    )
    # Not to the constructor, which would change the tokenizer: prompts are to have the tokens that hf gives them.
    harness.add_bos_token = add_bos_token
    try:
        yield harness
    finally:
        harness.model = None  # the engine ends with its last reference
        _free_memory()


def _weights(model: ModelRef, scratch: Path) -> tuple[str, str | None]:
    """The folder or hub name, and the commit, of weights that need no adapter."""
    if model.adapter:
        merged = scratch / "merged"
        with borrowed_model(model) as network:
            network.save_pretrained(merged)
        return str(merged), None
    folder = local_folder(model)
    return (str(folder), None) if folder else (model.path, weights_identity(model)[-1])


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
