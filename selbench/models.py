"""Loads models and tokenizers from their references; a failure is reported in one sentence."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench.api import ModelRef
from selbench.data.chat import ALPACA_TEMPLATE
from selbench.data.hub import cache_only_if_unreachable
from selbench.errors import UserError
from selbench.hashing import folder_hash
from selbench.libraries import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


TOKENIZER_FILES = ("tokenizer.", "vocab.", "merges.txt", "spiece.", "sentencepiece.", "spm.", "bpe.")


def load_tokenizer(ref: ModelRef) -> PreTrainedTokenizerBase:
    """The tokenizer, with the chat template that `ref.template` names and with a padding token.

    Raises UserError if it cannot be loaded, is no fast tokenizer, or has no chat template where one is required.
    """
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = _load_pretrained(AutoTokenizer.from_pretrained, ref)
    if ref.template not in ("auto", "chat", "alpaca"):
        raise UserError(f"model '{ref.name}': unknown template '{ref.template}'. Valid: auto, chat, alpaca.")
    if ref.template == "chat" and not tokenizer.chat_template:
        raise UserError(f"model '{ref.name}' has no chat template: use model.template=alpaca (or auto).")
    if ref.template == "alpaca" or not tokenizer.chat_template:
        tokenizer.chat_template = ALPACA_TEMPLATE
    if not tokenizer.is_fast:
        raise UserError(f"model '{ref.name}' has no fast tokenizer, which selbench needs to tell prompt from response.")
    # Padding is never attended to nor scored, so any token will do.
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_model(ref: ModelRef, *, device: str | None = None) -> PreTrainedModel:
    """The causal language model in evaluation mode, with its adapter merged.

    `device` is a GPU by default if there is one. With dtype "auto", weights are bfloat16 on a GPU and float32 on a CPU.
    Raises UserError if the model cannot be loaded or the dtype is unknown.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    default = torch.bfloat16 if device.startswith("cuda") else torch.float32
    dtype = default if ref.dtype == "auto" else getattr(torch, ref.dtype, None)
    if dtype is None:
        raise UserError(f"model '{ref.name}': unknown dtype '{ref.dtype}'. Valid: auto, float32, bfloat16, float16.")
    model = _load_pretrained(AutoModelForCausalLM.from_pretrained, ref, dtype=dtype)
    if ref.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, ref.adapter).merge_and_unload()
    ready: PreTrainedModel = model.to(device).eval()
    return ready


@lru_cache(maxsize=1)
def gpu_is_here() -> bool:
    """Whether PyTorch would find a GPU of NVIDIA's on this machine, without loading it: a plan may ask too."""
    if "torch" in sys.modules:
        return bool(sys.modules["torch"].cuda.is_available())
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() in ("", "-1") or version("torch").endswith(
        "+cpu"
    ):
        return False
    try:
        driver = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        count = ctypes.c_uint(0)
        return driver.nvmlInit_v2() == 0 and driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):  # no driver, or one without these functions
        return False


def resolved_dtype(dtype: str) -> str:
    """The type of weights that a dtype stands for: "auto" is bfloat16 where there is a GPU, else float32."""
    return ("bfloat16" if gpu_is_here() else "float32") if dtype == "auto" else dtype


def local_folder(ref: ModelRef) -> Path | None:
    """The folder that `ref.path` names; None for the name of a hub model. Raises UserError for a missing folder."""
    where = Path(ref.path).expanduser()
    local = where.is_absolute() or ref.path.startswith((".", "~")) or where.exists()
    if local and not where.is_dir():
        raise UserError(f"model '{ref.name}': the folder {where} does not exist (set by model.path or scorer.path).")
    return where if local else None


def _load_pretrained(load: Any, ref: ModelRef, **options: Any) -> Any:
    """The result of a `from_pretrained` (`load`) for the reference. Raises UserError if it fails."""
    where = local_folder(ref)
    try:
        with quiet():
            if where:
                return load(str(where), **options)
            with cache_only_if_unreachable():
                return load(ref.path, revision=ref.revision, **options)
    except (OSError, ValueError) as error:
        if where:
            reason = _what_is_missing(where, tokenizer="Tokenizer" in load.__self__.__name__) or _one_line(str(error))
            raise UserError(f"model '{ref.name}': {where} could not be loaded by transformers: {reason}") from error
        raise UserError(
            f"model '{ref.name}': '{ref.path}' is neither in the local Hugging Face cache nor reachable on the hub "
            f"from here; point at a local copy with model.path=/path/to/folder (scorer.path=... for a scorer)."
        ) from error


def _what_is_missing(folder: Path, tokenizer: bool) -> str:
    """What a folder lacks that a model or its tokenizer is loaded from, and where to get it; empty if nothing is known."""
    names = {path.name for path in folder.iterdir()}
    if "adapter_config.json" in names and "config.json" not in names:
        return (
            "it holds an adapter, not a model; set model.path to the model that it belongs to and model.adapter to it"
        )
    if tokenizer and not any(name.startswith(TOKENIZER_FILES) for name in names):
        return (
            "there is no tokenizer in it (tokenizer.json, tokenizer.model or a vocabulary); save the one that the model was "
            "trained with into the folder, as tokenizer.save_pretrained(folder) does"
        )
    if "config.json" not in names:
        return "there is no config.json in it, so it is not the folder of a model"
    return ""


def _one_line(text: str) -> str:
    """The first sentence of a message, which may go on after a line that ends in a colon."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    return " ".join(lines[:6]) if lines[0].endswith(":") else lines[0]


def fingerprint(ref: ModelRef) -> str:
    """A hash of everything that can change what the model computes, for the keys of stages.

    A folder counts by the content of its files, a hub model by its name and commit; template, dtype (what "auto"
    stands for here), max_length and the content of the adapter count as well.
    """
    identity: dict[str, Any] = {
        "template": ref.template,
        "dtype": resolved_dtype(ref.dtype),
        "max_length": ref.max_length,
    }
    folder = local_folder(ref)
    # A folder by its content, so that a moved copy has the same key and a changed file another one.
    identity["path"] = folder_hash(folder) if folder else [ref.path, _commit_of(ref.path, ref.revision)]
    if ref.adapter:
        identity["adapter"] = folder_hash(Path(ref.adapter).expanduser())
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=64)
def _commit_of(name: str, revision: str | None) -> str | None:
    """The commit of a hub model, so that a branch that has moved counts as another model; `revision` if it is unknown."""
    from huggingface_hub import hf_hub_download  # and not transformers, which `selbench plan` does not load

    try:
        with cache_only_if_unreachable():
            return Path(hf_hub_download(name, "config.json", revision=revision)).parent.name
    except (OSError, ValueError):
        return revision
