"""Whether fine-tuning changed the model at all: the outputs of the tuned model beside those of its base."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from selbench.api import Example, ModelRef
from selbench.errors import UserError
from selbench.kept_model import borrowed_model
from selbench.libraries import own_randomness
from selbench.models import load_tokenizer, local_folder
from selbench.placement import input_device

if TYPE_CHECKING:
    import torch

log = logging.getLogger("selbench")

EXAMPLES = 4
TOKENS = 256
# A change of the logits below this share of the largest one is rounding.
ROUNDING = 1e-6


def output_change(base: ModelRef, tuned: ModelRef, examples: Sequence[Example]) -> float | None:
    """The largest change of a logit of `base` over the first `EXAMPLES` examples, as a share of its largest logit.

    0: the tuned model gives what its base gives. None where one of the two cannot be loaded by transformers.
    """
    if (base.path, base.adapter) == (tuned.path, tuned.adapter):
        return 0.0
    if not (_has_weights(base) and _has_weights(tuned)):
        return None
    try:
        with own_randomness(0):
            ids = _token_rows(base, examples[:EXAMPLES])
            # Both in the type that the tuned weights are kept in: to save them in another is no training.
            dtype = _stored_dtype(tuned)
            before, after = (_logits(dataclasses.replace(ref, dtype=dtype), ids) for ref in (base, tuned))
    except UserError:  # the suite will say it
        return None
    except (RuntimeError, IndexError, ValueError) as error:  # no memory, or another vocabulary: the model is trained
        log.warning(f"whether fine-tuning changed the model cannot be told: {type(error).__name__}: {error}")
        return None
    most = max((float(np.abs(row).max()) for row in before), default=0.0)
    return max((_difference(one, other) for one, other in zip(before, after)), default=0.0) / (most or 1.0)


def _has_weights(ref: ModelRef) -> bool:
    """False for a folder that transformers cannot load; a name on the hub may be loaded."""
    folder = local_folder(ref)
    return folder is None or (folder / "config.json").is_file()


def _stored_dtype(ref: ModelRef) -> str:
    folder = local_folder(ref)
    config = json.loads((folder / "config.json").read_text()) if folder else {}
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "auto").removeprefix("torch.")
    return dtype if dtype in ("float32", "bfloat16", "float16") else "auto"


def _token_rows(ref: ModelRef, examples: Sequence[Example]) -> list[np.ndarray]:
    from selbench.data.chat import encode

    limit = min(TOKENS, ref.max_length)
    return [row.ids for row in encode(examples, load_tokenizer(ref), max_length=limit) if len(row.ids)]


def _logits(ref: ModelRef, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each row its logits, tokens x vocabulary."""
    import torch

    gc.collect()  # what the trainer left
    with borrowed_model(ref) as network, torch.inference_mode():
        return [_row_logits(network, torch.as_tensor(row, device=input_device(network))) for row in rows]


def _row_logits(network: torch.nn.Module, ids: torch.Tensor) -> np.ndarray:
    values: np.ndarray = network(input_ids=ids[None], use_cache=False).logits[0].float().cpu().numpy()
    return values


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference over the tokens that both vocabularies have (either may be padded)."""
    width = min(one.shape[1], other.shape[1])
    return float(np.abs(one[:, :width] - other[:, :width]).max())


def is_unchanged(change: float | None) -> bool | None:
    """None where the change is not known."""
    return None if change is None else change <= ROUNDING
