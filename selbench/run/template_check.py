"""Whether a model's chat template can write the examples of a pool: found out before anything is spent."""

from __future__ import annotations

from selbench.api import Example, ModelRef, Pool
from selbench.data.chat import require_labelled
from selbench.models import fingerprint, light_tokenizer

_fits: set[tuple[str, str]] = set()  # the fingerprints of models and pools that have been found to fit


def require_template_fits(ref: ModelRef, pool: Pool) -> None:
    """Raises UserError if the template refuses a kind of example that the pool has, or moves or leaves out a turn of it.

    The first example of each kind is tried; all are looked at when they are read. A model whose files are not at hand
    is not checked.
    """
    key = (fingerprint(ref), pool.fingerprint)
    tokenizer = light_tokenizer(ref) if key not in _fits else None
    if tokenizer is None:
        return
    kinds: dict[tuple[bool, ...], Example] = {}
    for example in pool:
        kinds.setdefault(_kind(example), example)
    for example in kinds.values():
        require_labelled(example, tokenizer)
    _fits.add(key)


def _kind(example: Example) -> tuple[bool, ...]:
    """What chat templates treat differently: system prompts, earlier turns, inputs, and thoughts within responses."""
    return bool(example.system), bool(example.history), bool(example.input), "</think>" in example.response
