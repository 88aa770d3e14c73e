"""The model that an external tool has left behind: finding it among its files, keeping what is needed, and loading it."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import Any

from selbench.api import ModelRef, UserError
from selbench.libraries import quiet
from selbench.models import TOKENIZER_FILES, WEIGHTS, load_model, load_tokenizer

FULL, ADAPTER = "config.json", "adapter_config.json"
# The state of a training that goes on, several times as large as the model; and copies of the weights in other formats.
STATE = ("optimizer", "scheduler", "rng_state", "scaler", "training_args", "global_step", "pytorch_model_fsdp")


def newest(folder: Path, pattern: str) -> Path | None:
    """The path under `folder` that matches `pattern` and was written to last; of several at one time, that with the highest
    numbers in its name. None if there is none."""
    found = [path for path in folder.glob(pattern) if path.exists()] if folder.is_dir() else []
    return max(found, key=lambda path: (_last_written(path), _natural(path)), default=None)


def _last_written(path: Path) -> int:
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(number or 0), text) for number, text in re.findall(r"(\d*)(\D*)", str(path))]


def is_model(folder: Path) -> bool:
    """Whether a folder has the configuration of a model or of an adapter."""
    return any((folder / name).is_file() for name in (FULL, ADAPTER))


def found_folder(output: Path, pattern: str) -> Path:
    """The folder of the model among what a tool has written to `output`.

    With a pattern the newest folder that matches it; without one `output` itself, or else the newest folder in it, at any
    depth, that holds a model. Raises UserError, saying what there is, if there is none.
    """
    if pattern:
        found = newest(output, pattern)
        if found and is_model(found):
            return found
    elif is_model(output):
        return output
    else:
        folders = {path.parent for name in (FULL, ADAPTER) for path in output.rglob(name)}
        if folders:
            return max(folders, key=lambda path: (_last_written(path), _natural(path)))
    there = (
        sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()) if output.is_dir() else []
    )
    files = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
    wanted = f"that match trainer.checkpoint={pattern}" if pattern else "in it"
    raise UserError(
        f"has left no model: among the folders {wanted} none has a {FULL} or {ADAPTER}. It has written to {{output}}: "
        f"{files or 'nothing'}"
    )


def kept_model(found: Path, folder: Path, model: ModelRef, result: str) -> ModelRef:
    """Move the model at `found` to `folder`, without the state of its training, and return the reference to it.

    `result` says what it has to be: "full", "adapter", or "auto" for either. A full model without a tokenizer gets that of
    its base. Raises UserError if it is the other kind.
    """
    adapter = (found / ADAPTER).is_file() if result == "auto" else result == "adapter"
    if not (found / (ADAPTER if adapter else FULL)).is_file():
        other = "a full model" if adapter else "an adapter"
        raise UserError(f"has left {other}, where trainer.result={result} says what it has to be")
    folder.mkdir()
    for path in sorted(found.iterdir()):
        if path.is_file() and not path.name.startswith(STATE):
            if path.is_symlink():
                shutil.copy2(path, folder / path.name)
            else:
                os.replace(path, folder / path.name)
    if adapter:
        return dataclasses.replace(model, adapter=str(folder))
    if not any(path.name.startswith(TOKENIZER_FILES) for path in folder.iterdir()):
        with quiet():
            load_tokenizer(model).save_pretrained(folder)
    return dataclasses.replace(model, path=str(folder), revision=None, adapter=None)


def require_loads(tuned: ModelRef) -> None:
    """Raises UserError, with the reason, if transformers cannot load the model and its tokenizer, weights included."""
    weights = [path.name for path in Path(tuned.adapter or tuned.path).iterdir() if path.name.endswith(WEIGHTS)]
    if not weights:
        raise UserError(f"there are no weights in it (a file that ends in {' or '.join(WEIGHTS)})")
    try:
        with quiet():
            load_tokenizer(tuned)
            if tuned.adapter:
                load_model(tuned)
            else:
                _require_all_weights(tuned)
    except UserError:
        raise
    except Exception as error:  # of transformers, peft, safetensors or the files
        raise UserError(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}") from error


def _require_all_weights(tuned: ModelRef) -> None:
    """transformers fills weights that it does not find with random numbers: names with a prefix of DDP's or FSDP's, say."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(tuned.path, dtype="auto", output_loading_info=True)
    missing = sorted({str(name) for name in loaded[1]["missing_keys"]})
    if missing:
        raise UserError(
            f"{len(missing)} of its weights are not in its files, among them {missing[0]}; unexpected there: "
            f"{', '.join(sorted(map(str, loaded[1]['unexpected_keys']))[:1]) or 'none'}"
        )
