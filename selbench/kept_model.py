"""The model that this process loaded last, kept for whoever only reads it: other suites, seeds and adapters of its base.

Loading a base anew for each adapter is most of the work of evaluating many. Here a plain LoRA adapter is merged into the
base that is in memory, and taken out again by putting back the weights that it changed, bit for bit: the values are
those of `load_model`. Whatever cannot be undone so surely is loaded anew.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selbench import models
from selbench.adapters import Originals, merge_undoably, put_back
from selbench.api import ModelRef
from selbench.free_memory import free_bytes
from selbench.hashing import folder_hash
from selbench.models import load_base, load_model, weights_identity
from selbench.placement import device_for, dtype_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# A model that takes no more than this share of the memory that is free stays while another one is loaded or trained.
SMALL = 0.1


@dataclass(eq=False)
class _Kept:
    """A loaded model and what is merged into it."""

    base: tuple[str | None, ...]  # what identifies its weights without an adapter: their content, dtype and device
    adapter: str  # the hash of the adapter that is merged; empty: none
    network: PreTrainedModel
    originals: Originals | None  # the weights that the adapter changed, as they were; None: it cannot be undone
    state: Any  # what nobody who reads a model changes
    readers: int = 0


_kept: _Kept | None = None
_changing = threading.RLock()


@contextmanager
def borrowed_model(ref: ModelRef, *, device: str | None = None) -> Iterator[PreTrainedModel]:
    """The block in which a model is read, and left as it is: the same values as those of `load_model`.

    Afterwards it stays in memory for the next one who asks for it, or for another adapter of its base, until another
    base is asked for, `forget_model` is called, or room is needed. It is not kept if the block raises, or has changed it
    after all. Raises UserError as `load_model` does.
    """
    global _kept
    with _changing:
        found = _obtain(ref, device)
        found.readers += 1
    try:
        yield found.network
    except BaseException:
        with _changing:
            if _kept is found:
                _kept = None
        raise
    finally:
        found.readers -= 1
        with _changing:
            if _kept is found and _state(found.network) != found.state:
                _kept = None


def forget_model() -> None:
    """Give up the model that is kept, and its memory."""
    global _kept
    with _changing:
        if _kept is not None:
            _kept = None
            _free_memory()


def make_room() -> None:
    """Give it up unless it takes little of the memory that is free: another model is about to be loaded or trained."""
    kept = _kept
    if kept is None or kept.readers:
        return
    free = free_bytes(kept.network.device)
    if free is None or _bytes(kept) > SMALL * free:
        forget_model()


models.BEFORE_LOADING.append(make_room)


def _obtain(ref: ModelRef, device: str | None) -> _Kept:
    """The model that is kept, if it is this one or can be made it; else it is loaded, and kept from now on."""
    global _kept
    place = device_for(device)
    base = (*weights_identity(ref), str(dtype_for(ref, place)), place)
    adapter = folder_hash(Path(ref.adapter).expanduser()) if ref.adapter else ""
    if _kept and (_kept.base, _kept.adapter) == (base, adapter):
        return _kept
    if ref.device_map and device is None:  # its weights may be on a disk, from which nothing is put back
        return _Kept(base, adapter, load_model(ref), None, None)
    if _kept and _kept.readers:  # somebody reads two models at once: this one is theirs alone
        return _Kept(base, adapter, load_model(ref, device=device), None, None)
    network, originals = _loaded(ref, place, base)
    _kept = _Kept(base, adapter, network, originals, _state(network))
    return _kept


def _loaded(ref: ModelRef, device: str, base: tuple[str | None, ...]) -> tuple[PreTrainedModel, Originals | None]:
    """The model with its adapter, made of the one that is kept where that has the same base."""
    network = _taken(base)
    if network is None:
        _free_memory()  # before the next one is loaded
    if not ref.adapter:
        return network or load_model(ref, device=device), None
    if network is None:
        # Not moved to a GPU before the adapter is merged, which gives other bits there.
        network = load_base(replace(ref, adapter=None), device)
    originals = merge_undoably(network, Path(ref.adapter).expanduser())
    if originals is None:
        network = None
        _free_memory()
        return load_model(ref, device=device), None
    moved: Any = network
    return moved.to(device).eval(), originals


def _taken(base: tuple[str | None, ...]) -> PreTrainedModel | None:
    """The network that is kept, without its adapter; None if it is of another base, or its adapter cannot be undone.

    Nothing is kept from here on, so that an interruption leaves no half-merged model behind.
    """
    global _kept
    kept, _kept = _kept, None
    if kept is None or kept.base != base or (kept.adapter and kept.originals is None):
        return None
    put_back(kept.network, kept.originals or {})
    kept.network.requires_grad_(True)  # as a model is loaded; PEFT leaves it off
    return kept.network


def _state(network: PreTrainedModel) -> Any:
    """What changes if somebody changes the network: where its tensors are and how often they were written to, its hooks."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())
    settings = [getattr(network, name, None) for name in ("config", "generation_config")]
    return (
        [(name, tensor.data_ptr(), tensor._version) for name, tensor in tensors],
        hooks,
        network.training,
        [each.to_json_string() if each is not None else "" for each in settings],
    )


def _bytes(kept: _Kept) -> int:
    held = [*kept.network.parameters(), *kept.network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
