"""Where the weights of a model go: the GPUs of this machine, the type of weights there, and models spread over devices."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from selbench.api import ModelRef
from selbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # of accelerate


@lru_cache(maxsize=1)
def gpu_is_here() -> bool:
    """Whether PyTorch would find a GPU of NVIDIA's on this machine, without loading it: a plan may ask too."""
    if "torch" in sys.modules:
        return bool(sys.modules["torch"].cuda.is_available())
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() in ("", "-1") or version("torch").endswith(
        "+cpu"
    ):
        return False
    return _driver_gpus() > 0


def gpus_here() -> list[str]:
    """The GPUs that a command on this machine may use, as CUDA_VISIBLE_DEVICES names them; those it lists are believed."""
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in listed.split(",")]
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))
    return [str(number) for number in range(_driver_gpus())] if gpu_is_here() else []


def _driver_gpus() -> int:
    """The number of GPUs that NVIDIA's driver has; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
        count = ctypes.c_uint(0)
        known = driver.nvmlInit_v2() == 0 and driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
        return count.value if known else 0
    except (OSError, AttributeError):  # no driver, or one without these functions
        return 0


def resolved_dtype(dtype: str) -> str:
    """The type of weights that a dtype stands for: "auto" is bfloat16 where there is a GPU, else float32."""
    return ("bfloat16" if gpu_is_here() else "float32") if dtype == "auto" else dtype


def device_for(device: str | None) -> str:
    """The device that is named; where none is, a GPU if there is one."""
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def dtype_for(ref: ModelRef, device: str) -> Any:
    """The type (of torch) of the weights on this device. Raises UserError for an unknown one."""
    import torch

    default = torch.bfloat16 if device.startswith("cuda") else torch.float32
    dtype = default if ref.dtype == "auto" else getattr(torch, ref.dtype, None)
    if dtype is None:
        raise UserError(f"model '{ref.name}': unknown dtype '{ref.dtype}'. Valid: auto, float32, bfloat16, float16.")
    return dtype


def require_device_map(ref: ModelRef) -> None:
    """Raises UserError for a device_map that is neither a word of accelerate's nor a mapping from modules to devices."""
    found = ref.device_map
    if found is None or found in DEVICE_MAPS:
        return
    if isinstance(found, Mapping) and found and all(isinstance(device, str | int) for device in found.values()):
        return
    raise UserError(
        f"model '{ref.name}': unknown device_map '{found}'. Valid: null, {', '.join(DEVICE_MAPS)}, or a mapping from modules to "
        "devices such as {model.embed_tokens: 0, model.layers: 1, model.norm: 1, lm_head: 1}."
    )


def spread_options(ref: ModelRef) -> dict[str, Any]:
    """What `from_pretrained` is given for `ref.device_map`, with a folder for weights that fit into no memory."""
    require_device_map(ref)
    mapping = dict(ref.device_map) if isinstance(ref.device_map, Mapping) else ref.device_map
    return {"device_map": mapping, "offload_folder": tempfile.TemporaryDirectory(prefix="selbench-offload-")}


def input_device(model: PreTrainedModel) -> Any:
    """The device that token ids go to: the model's, or the CPU where its embedding is read from disk when it is needed."""
    import torch

    return torch.device("cpu") if model.device.type == "meta" else model.device
